//! Plugin `websocket`.
