"""What users may give as a folder, and what no message may repeat."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from axion_stage3.cli.app import run
from axion_stage3.config import InferenceConfig, resolve_config
from axion_stage3.errors import UsageError
from axion_stage3.storage.locations import (
    ObjectUrl,
    as_location,
    parse_location,
    require_local,
)
from axion_stage3.storage.redaction import redacted

SECRETS = ("hunter2", "AKIAEXAMPLE", "X-Amz", "s3cr3t")
SECRET_URLS = [
    "s3://AKIAEXAMPLE:hunter2@bucket/tiles",
    "s3://bucket/tiles?X-Amz-Signature=s3cr3t",
    "https://user:hunter2@host/bucket?sig=s3cr3t",
    "gs://hunter2@bucket/tiles",
]


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "memory"])
def test_urls_of_object_stores(scheme: str) -> None:
    url = parse_location(f"{scheme}://bucket/a folder/b/")
    assert url == ObjectUrl(f"{scheme}://bucket/a folder/b")
    assert str(url / "c" / "tile.npz") == f"{scheme}://bucket/a folder/b/c/tile.npz"
    assert (url / "tile.npz").with_suffix(".json").name == "tile.json"
    assert (url / "a.b.npz").with_suffix(".json").name == "a.b.json"
    assert (url / "tile").with_suffix(".json").name == "tile.json"
    assert (url / "c").parent == url
    assert (url / "c").is_relative_to(url)
    assert not ObjectUrl(f"{url}c").is_relative_to(url)
    assert pickle.loads(pickle.dumps(url)) == url == as_location(str(url))


def test_a_file_url_is_a_path_of_this_machine() -> None:
    assert parse_location("file:///data/my%20tiles") == Path("/data/my tiles")
    assert parse_location("file://localhost/data") == Path("/data")
    assert parse_location("data/s1") == Path("data/s1")
    with pytest.raises(UsageError, match="no path of this machine"):
        parse_location("file://host/data")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://host/x", "scheme ftp://, which is not known"),
        ("S4://bucket/x", "scheme s4://"),
        ("s3://", "names no folder"),
        ("s3:///x", "names no folder"),
        ("s3://bucket//x", "names no folder"),
        ("s3://bucket/../x", "names no folder"),
        ("s3://bucket/a\nb", "names no folder"),
        *[(url, "holds a user, a password or a query") for url in SECRET_URLS],
    ],
)
def test_what_is_refused_says_why(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_location(text)
    assert caught.value.hint
    assert not any(secret in caught.value.message for secret in SECRETS)


@pytest.mark.parametrize("url", SECRET_URLS)
@pytest.mark.parametrize("option", ["--opt-v2-dir", "--s1-dir", "--output-dir", "--checkpoint"])
def test_credentials_in_options_are_refused_and_not_repeated(
    url: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {"--opt-v2-dir": "a", "--s1-dir": "b", "--output-dir": "c"} | {option: url}
    assert run(["infer", *[part for pair in folders.items() for part in pair]]) == 2
    said = " ".join("".join(capsys.readouterr()).replace("│", " ").split())
    assert "a user, a password or a query" in said
    assert not any(secret in said for secret in SECRETS)


@pytest.mark.parametrize("entry", ["output_dir", "checkpoint", "tiles", "georeference"])
@pytest.mark.parametrize("url", SECRET_URLS)
def test_credentials_in_configurations_are_refused_and_not_repeated(entry: str, url: str) -> None:
    given = {"opt_v2_dir": "a", "s1_dir": "b", "output_dir": "c"} | {entry: url}
    with pytest.raises(UsageError) as caught:
        resolve_config(InferenceConfig, {}, environ={
            f"AXION_STAGE3_{name.upper()}": value for name, value in given.items()
        })  # fmt: skip
    assert not any(secret in f"{caught.value} {caught.value.hint}" for secret in SECRETS)


def test_reasons_lose_their_secrets() -> None:
    text = 'no answer from "http://user:hunter2@host/b?X-Amz-Signature=1" (1 attempt)'
    assert redacted(text) == 'no answer from "http://***@host/b?..." (1 attempt)'
    assert redacted("what? nothing") == "what? nothing"


def test_urls_that_overlap_are_refused() -> None:
    folders = {"opt_v2_dir": "s3://b/tiles/opt_v2", "s1_dir": "s3://b/tiles/s1"}
    config = InferenceConfig.model_validate({**folders, "output_dir": "s3://b/tiles/out"})
    assert config.model_dump(mode="json")["output_dir"] == "s3://b/tiles/out"
    assert InferenceConfig.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(UsageError, match="overlap"):
        resolve_config(InferenceConfig, {**folders, "output_dir": "s3://b/tiles"})


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats", "s3://bucket/out"],
        ["validate", "s3://bucket/out"],
        ["inspect-tile", "tile", "--output-dir", "s3://bucket/out"],
        ["visualize", "s3://bucket/out"],
        ["export", "s3://bucket/out", "--to", "geotiff", "--output-dir", "x"],
        ["evaluate", "--truth-dir", "s3://bucket/truth"],
        ["train", "--data-dir", "s3://bucket/data"],
        ["doctor", "s3://bucket/out"],
    ],
)
def test_commands_that_need_local_folders_say_so(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    said = " ".join("".join(capsys.readouterr()).replace("│", " ").split())
    assert "a path of this machine is needed here" in said
    assert "aws s3 sync" in said
    with pytest.raises(UsageError):
        require_local("s3://bucket/x")
