"""Network services that are not HTTP: streams, frames, and what carries them."""
