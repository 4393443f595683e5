"""``facestream results``: read scored-face events."""

from __future__ import annotations

from faust.cli.base import option

from schemas.codec import encode_scored_face
from streams.commands.base import FacestreamCommand
from streams.commands.face_table import face_row, faces_table
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import topic_names

#: Rows that are printed together; the whole topic may not fit into memory.
ROWS_AT_ONCE = 200


class Results(FacestreamCommand):
    """Show scored-face events, from the beginning of the topic."""

    options = [
        option("--follow", "-f", is_flag=True, help="Wait for more events until Ctrl-C."),
        option("--json", "as_json", is_flag=True, help="Print one JSON event per line."),
    ]

    async def main(self, *, follow: bool, as_json: bool, **_: object) -> int:
        """Print the events as a table, or as JSON lines."""
        events = 0
        table = faces_table()
        async with TopicReader(self.settings, topic_names(self.settings).scored_face) as reader:
            async for face in reader.scored_faces(follow=follow):
                events += 1
                if as_json:
                    print(encode_scored_face(face).decode(), flush=follow)
                    continue
                table.add_row(*face_row(face))
                if follow or table.row_count == ROWS_AT_ONCE:
                    self.console.print(table)
                    table = faces_table(header=False)
        if not as_json:
            if table.row_count or not events:
                self.console.print(table)
            self.notes.print(f"{events} events")
        return 0
