"""LM Studio: its REST routes, its WebSocket, and the backend made of both."""
