"""What must hold of every decoder, for every input.

``check`` makes of the fuzzer's bytes a codec, an input and a way to cut it, and raises ``Defect``
if one of these does not hold:

* nothing is raised but a ``FramingError``, and the codec says that it was;
* any partition gives the same frames and errors as the whole, and as much is left over; also if
  frames are taken one at a time, bytes arrive in the middle of the loop, or what is left is taken
  away and given back;
* a frame that can be encoded comes back the same;
* what waits for the end of its frame is never more than the limit, and what is retained never
  more than that and a chunk; nothing is allocated that was only announced;
* the steps are linear in the input. Counted are calls, of Python and of C, and the bytes that are
  allocated on the way: whoever copies what has been gathered, for each chunk, allocates it. A
  search, which allocates nothing, is not seen: the benchmark's table shows those.
"""

from __future__ import annotations

from collections.abc import Sequence

from .costs import check_memory, check_steps
from .inputs import Trial, read_trial
from .kinds import KINDS, Kind
from .rules import Defect
from .runs import WAYS, Run, compare, taken_away


def check(data: bytes, kinds: Sequence[Kind] = KINDS) -> None:
    """Try one decoder on one input.

    Raises:
        Defect: it is broken; the message says how to do it again.
    """
    trial = read_trial(data, kinds)
    try:
        check_trial(trial)
    except Defect as defect:
        chunks = trial.chunks()
        shown = repr(chunks) if len(trial.data) < 2000 else f"{len(chunks)} chunks"
        raise Defect(f"{trial.kind.name}: {defect}\nchunks: {shown}") from defect.__cause__


def check_trial(trial: Trial) -> None:
    whole = Run(trial.kind, encodes=True)
    whole.feed(trial.data)
    whole.take_all()
    whole.end()
    chunks = trial.chunks()
    for way in WAYS:
        run = Run(trial.kind)
        if way is not taken_away or trial.kind.restarts:
            way(run, chunks, trial.seed)
            run.end()
            compare(whole, run, way.__name__)
    check_memory(trial.kind, chunks, leaves=trial.seed % 2 > 0)
    check_steps(trial.kind, chunks, leaves=trial.seed % 4 > 1)
