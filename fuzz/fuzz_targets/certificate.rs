//! Certificates: any bytes are read without a panic, and what is read is what a name may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sennit_wire::certificate::read;

fuzz_target!(|der: &[u8]| {
    if let Ok(found) = read(der) {
        let names = found.dns_names.iter().chain(&found.uris).chain(&found.emails);
        assert!(names.into_iter().all(|name| name.is_ascii()));
        assert!(!found.serial.is_empty());
    }
});
