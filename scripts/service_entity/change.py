"""What is written into a service, wholly or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from project_source.files import replace
from service_entity.errors import TargetError


@dataclass
class Change:
    """What is written.

    Attributes:
        revision: Of the migration.
        created: New files and their text.
        edited: Files that were there, and their new text with the line ends that they had.
    """

    revision: str
    created: dict[str, str] = field(default_factory=dict)
    edited: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Write it. When anything goes wrong, the service is as it was.

        Raises:
            TargetError: A file cannot be written.
        """
        before = {name: (root / name).read_bytes() for name in self.edited}
        made: list[Path] = []
        try:
            for name, text in self.created.items():
                with (root / name).open("x", encoding="utf-8", newline="\n") as file:
                    made.append(root / name)
                    file.write(text)
            for name, text in self.edited.items():
                replace(root / name, text.encode())
        except BaseException as error:
            for path in made:
                path.unlink(missing_ok=True)
            for name, content in before.items():
                if (root / name).read_bytes() != content:
                    replace(root / name, content)
            if isinstance(error, OSError):
                raise TargetError(f"{error.filename or root}: {error.strerror}; nothing was changed") from None
            raise
