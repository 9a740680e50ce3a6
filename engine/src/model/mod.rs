//! The model as burn modules, generic over `B: Backend`.
