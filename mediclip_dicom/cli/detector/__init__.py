"""Commands that use the detector by itself, without a node: analyze, synth, evaluate, reproduce."""
