//! Generation: sampler, stop rules, folding, events, statistics, session files.
