//! FLOPs, KV bytes and weight bytes as pure functions of configuration and lengths.
