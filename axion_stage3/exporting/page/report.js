
"use strict";
(() => {
  const PAGE = 100;
  const table = document.getElementById("tile-table");
  if (!table) return;
  const body = table.tBodies[0];
  const search = document.getElementById("tile-search");
  const count = document.getElementById("tile-count");
  const more = document.getElementById("tile-more");
  const rows = Array.from(body.rows, (row) => {
    const cells = Array.from(row.cells, (cell) => cell.textContent);
    return { row, cells, text: cells.slice(0, 2).join(" ").toLowerCase() };
  });
  let shown = PAGE;

  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matches = 0;
    for (const { row, text } of rows) {
      const isMatch = words.every((word) => text.includes(word));
      row.hidden = !isMatch || matches >= shown;
      if (isMatch) matches += 1;
    }
    count.textContent = words.length ? `${matches} of ${rows.length} tiles` : `${rows.length} tiles`;
    more.hidden = matches <= shown;
  };

  const compare = (a, b, column) => {
    const [x, y] = [a.cells[column], b.cells[column]];
    const [p, q] = [Number(x), Number(y)];
    if (Number.isNaN(p) && Number.isNaN(q)) return x.localeCompare(y, "en", { numeric: true });
    return p - q;
  };
  // What has no number stays at the end, whichever way the others are sorted.
  const isEmpty = (entry, column) => entry.cells[column] === "-";

  const sortBy = (column, heading) => {
    const isNumber = !heading.classList.contains("text");
    const before = heading.getAttribute("aria-sort");
    const isDescending = before ? before === "ascending" : isNumber;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    const sign = isDescending ? -1 : 1;
    rows.sort((a, b) => {
      const empty = isEmpty(a, column) - isEmpty(b, column);
      return empty || sign * compare(a, b, column);
    });
    body.append(...rows.map((entry) => entry.row));
    update();
  };

  Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sortBy(column, heading));
    heading.replaceChildren(button);
  });
  search.addEventListener("input", () => { shown = PAGE; update(); });
  more.addEventListener("click", () => { shown += PAGE; update(); });
  document.getElementById("tile-controls").hidden = false;
  update();
})();
