"""WebSocket tunnels: a backend that speaks the protocol, clients that load a proxy with it, and what is
measured.
"""
