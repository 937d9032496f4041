"""The MQTT edge: broker addresses, one connection to a broker, what a broker can do, a broker of our own.

Owns everything that touches a socket. `mqtt` is the only module that imports paho, `broker` the only one that
imports amqtt; no exception of theirs leaves this package. It knows topics and payloads as opaque values and
never looks into them.
"""
