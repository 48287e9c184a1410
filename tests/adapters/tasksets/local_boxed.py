"""A taskset of verifiers 0.4 whose reward needs a container."""

import verifiers.v1 as vf


class BoxedTask(vf.Task[vf.TaskData]):
    @vf.reward
    async def ran(self, trace, runtime) -> float:
        return 1.0


class Boxed(vf.Taskset[BoxedTask]):
    def load(self):
        return [BoxedTask(vf.TaskData(prompt="Write a program."), self.config.task)]


__all__ = ["Boxed"]
