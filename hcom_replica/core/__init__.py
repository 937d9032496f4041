"""The replica state machine and its parts: pure, no clock, no input or output."""
