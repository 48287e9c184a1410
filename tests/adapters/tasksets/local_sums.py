"""A taskset of verifiers 0.4 with tools that share state with its rewards."""

import verifiers.v1 as vf


class SumData(vf.TaskData):
    answer: str


class Notes(vf.State):
    notes: list[str] = []


class Desk(vf.Toolset[vf.ToolsetConfig, Notes]):
    @vf.tool
    def keep(self, text: str) -> str:
        """Keep a note."""
        self.state.notes.append(text)
        print("kept", text)
        return f"{len(self.state.notes)} notes"

    @vf.tool
    async def boom(self) -> str:
        """Fail."""
        raise ValueError("boom")


class SumTask(vf.Task[SumData, Notes]):
    @classmethod
    def toolsets(cls, config):
        return [Desk(vf.ToolsetConfig())]

    @vf.reward(weight=0.75)
    async def right(self, trace) -> float:
        return float(trace.last_reply == self.data.answer)

    @vf.reward(weight=0.25)
    async def noted(self, trace) -> float:
        return float(self.data.answer in trace.state.notes)

    @vf.metric
    async def words(self, trace) -> float:
        return float(len(trace.last_reply.split()))

    @vf.stop
    async def full(self, trace: vf.Trace) -> bool:
        return len(trace.state.notes) >= 4


class SumConfig(vf.TasksetConfig):
    size: int = 10


class Sums(vf.Taskset[SumTask, SumConfig]):
    def load(self):
        for number in range(self.config.size):
            data = SumData(
                prompt=f"{number} + {number}?", answer=str(2 * number), system_prompt="Note it, then say it."
            )
            yield SumTask(data, self.config.task)


__all__ = ["Sums"]
