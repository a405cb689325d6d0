"""Synthetic anomalies from normal images alone (MediCLIP section 2.2)."""

from ai_core.synthesis.sampler import Sample, SynthesisSettings, Task, synthesise

__all__ = ["Sample", "SynthesisSettings", "Task", "synthesise"]
