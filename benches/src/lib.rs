//! Benchmarks, one file per hot path. None has been written yet: speed is measured once the results are right.
