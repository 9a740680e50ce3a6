//! The peak of this process's memory.

/// Most resident memory that this process ever had, in bytes; `None` where the system does not say (it is Linux's
/// `VmHWM`, and counts mapped files that were read).
pub fn peak_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_and_not_the_present() {
        assert_eq!(
            parse("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n"),
            Some(2_097_152)
        );
        assert_eq!(parse("Name:\tx\n"), None);
    }
}
