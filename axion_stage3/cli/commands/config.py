"""``axion-stage3 config``: what ``infer`` would run with, a file to begin with, a schema."""

from __future__ import annotations

from axion_stage3.cli import configuration_options, options
from axion_stage3.cli.commands.infer import infer


@configuration_options.with_entries_of(infer)
def config_show(
    config_file: options.ConfigFile = None,
    with_sources: configuration_options.WithSources = False,
    json_document: options.Json = False,
    **given: object,
) -> None:
    """Show the configuration that infer would run with, as a file for --config.

    It takes the options of infer. The command line wins over the environment
    (AXION_STAGE3_BATCH_SIZE=4), the environment over the --config file, the
    file over the defaults.

    For example:

      axion-stage3 config show --config run.toml --batch-size 4 --sources
      axion-stage3 config show --config outputs/runs/run-manifest.json
    """
    import os
    from dataclasses import asdict

    from axion_stage3.cli.output import Output
    from axion_stage3.config_documents import configuration_text, describe_configuration

    document = describe_configuration(given, config_file=config_file, environ=os.environ)
    if json_document:
        Output().document(asdict(document))
    else:
        Output().data(configuration_text(document, with_sources=with_sources))


def config_init(file: configuration_options.StarterFile = None) -> None:
    """Write a configuration file to begin with: every entry, explained.

    Its name is axion-stage3.toml unless FILE is given. A file that is there
    already is left as it is.

    For example:

      axion-stage3 config init run.toml
      axion-stage3 infer --config run.toml
    """
    from axion_stage3.cli.output import Output
    from axion_stage3.config_documents import STARTER_FILE, write_starter

    file = file or STARTER_FILE
    write_starter(file)
    Output().note(f"Written: {file}. Fill in the folders, then: axion-stage3 infer --config {file}")


def config_schema() -> None:
    """Write the JSON schema of a configuration file to standard output.

    For example:

      axion-stage3 config schema > axion-stage3.schema.json
    """
    from axion_stage3.cli.output import Output
    from axion_stage3.config_documents import configuration_schema

    Output().document(configuration_schema())
