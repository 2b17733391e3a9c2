"""Saving a program's state to a file, and going on from it at the next start."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torshi


@dataclass
class Game:
    player: str
    level: int = 1
    inventory: list[str] = field(default_factory=list)


def resume(path: Path) -> Game:
    if not path.exists():
        return Game("Ada")
    # Only what a Game is made of can come out of this file, whoever wrote it.
    return torshi.load(path, Game)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "game.pkl"
        game = resume(path)
        game.level += 1
        game.inventory.append("lamp")
        # Written beside the old file and then put in its place, so a crash leaves one of the two, whole.
        torshi.save(game, path)

        again = resume(path)
        print(f"{again.player} goes on at level {again.level} with {', '.join(again.inventory)}")


if __name__ == "__main__":
    main()
