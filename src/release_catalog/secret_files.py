"""Secret settings in files: the variable `<SETTING>_FILE` names a file that contains the setting.

Orchestrators mount secrets as files, which neither a list of processes nor an environment shows.
"""

import dataclasses
import os
import stat
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SUFFIX = "_FILE"
MAX_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Unusable:
    """Stands for a setting that can't be read from its file; a validator refuses it with the reason."""

    reason: str


def is_secret(field: FieldInfo) -> bool:
    """Return whether a setting holds a secret, which no output shows; each such setting has a file variant."""
    return not field.repr or SecretStr in (field.annotation, *typing.get_args(field.annotation))


def names(settings: type[BaseSettings]) -> list[str]:
    """Return the variables that name the files of secret settings."""
    prefix = settings.model_config["env_prefix"]
    fields = settings.model_fields.items()
    return [f"{prefix}{name.upper()}{SUFFIX}" for name, field in fields if is_secret(field)]


def read(path: str) -> str:
    """Return the content of a file without its last line break; raise ValueError with the end of a sentence."""
    try:
        # A pipe that nobody writes to would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("is not a regular file: name a file that contains the secret")
            content = os.read(descriptor, MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ValueError(
            f"can't be read ({error.strerror}): correct the path, or let this user read the file"
        ) from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"is longer than {MAX_BYTES} bytes: name a file that contains only the secret")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # The error would have the content.
        raise ValueError("is not UTF-8: write the secret as text") from None
    if text.endswith("\n"):
        text = text[:-1].removesuffix("\r")
    if not text:
        raise ValueError("is empty: write the secret to it")
    return text


class SecretFiles(PydanticBaseSettingsSource):
    """Reads secret settings from the files that the environment names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of a setting, None without a file."""
        return self._value(field, field_name, os.environ), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings that have files."""
        # Other settings are read without regard to letter case, too.
        variables = {name.upper(): value for name, value in os.environ.items()}
        found = {
            name: self._value(field, name, variables) for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}

    def _value(self, field: FieldInfo, name: str, variables: Mapping[str, str]) -> str | Unusable | None:
        variable = f"{self.config['env_prefix']}{name}".upper()
        path = variables.get(variable + SUFFIX) if is_secret(field) else None
        if not path:
            return None
        if variables.get(variable):
            return Unusable(f"{variable}{SUFFIX} is set, too: unset one of the two")
        try:
            return read(path)
        except ValueError as error:
            return Unusable(f"the file {path!r} in {variable}{SUFFIX} {error}")
