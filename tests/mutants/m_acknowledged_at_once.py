"""A delivery is acknowledged as it is read, before anything of it is carried out."""

RULE = 9
FILE = "frontends/queue_front.py"
OLD = """\
        self._run(self._core.on_frames(frames, self._now()))
"""
NEW = """\
        self._server.acknowledge([item.tag for item in items])
        self._run(self._core.on_frames(frames, self._now()))
"""
NOTICED_BY = "simulate"
