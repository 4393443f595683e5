"""``facestream results``: read scored-face events."""

from __future__ import annotations

from typing import Any

from faust.cli.base import option

from schemas.codec import encode_scored_face
from streams.client import TopicReader
from streams.commands.base import FacestreamCommand
from streams.commands.tables import face_row, faces_table
from streams.topics import topic_names


class Results(FacestreamCommand):
    """Show scored-face events, from the beginning of the topic."""

    options = [
        option("--follow", "-f", is_flag=True, help="Wait for more until Ctrl-C."),
        option("--json", "as_json", is_flag=True, help="One JSON event a line."),
    ]

    async def main(self, *, follow: bool, as_json: bool, **_: Any) -> int:
        """Print the events as a table, or line by line."""
        table = faces_table()
        rows = 0
        async with TopicReader(self.settings, topic_names(self.settings).scored_face) as reader:
            async for face in reader.scored_faces(follow=follow):
                rows += 1
                if as_json:
                    print(encode_scored_face(face).decode(), flush=follow)
                elif follow:
                    # A table is drawn when it is whole; following, each event is its own.
                    line = faces_table(header=rows == 1)
                    line.add_row(*face_row(face))
                    self.console.print(line)
                else:
                    table.add_row(*face_row(face))
        if not as_json and not follow:
            self.console.print(table)
            self.notes.print(f"{rows} events")
        return 0
