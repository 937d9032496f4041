"""The loop: drain the queue, step the core, carry out its effects in order, sleep."""
