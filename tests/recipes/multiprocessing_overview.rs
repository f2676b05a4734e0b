//! Section `multiprocessing_overview`.
