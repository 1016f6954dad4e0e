//! The process's descriptor limit.

use std::io;

/// The soft and the hard limit on open descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// What is enforced now.
    pub soft: u64,
    /// What the soft limit may be raised to.
    pub hard: u64,
}

/// Reads the limit.
pub fn descriptor_limit() -> io::Result<DescriptorLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(DescriptorLimit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// Raises the soft limit to the hard one and returns what is in force.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let limit = descriptor_limit()?;
    if limit.soft == limit.hard {
        return Ok(limit);
    }
    let wanted = libc::rlimit { rlim_cur: limit.hard, rlim_max: limit.hard };
    // SAFETY: `wanted` is valid for the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) } < 0 {
        return Err(io::Error::last_os_error());
    }
    descriptor_limit()
}
