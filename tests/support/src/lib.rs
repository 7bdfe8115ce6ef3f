//! Finds the real servers that tests run against, and starts them where they are down: no test is
//! skipped because a server is absent.
