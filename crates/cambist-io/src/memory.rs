//! How much memory is left.

use std::path::{Path, PathBuf};

use crate::disk;

/// Returns how many bytes of memory this process may still take without being killed for it: what the system says is
/// available, and no more than its control group leaves. None where neither can be told, on systems other than Linux.
pub fn available() -> Option<u64> {
    let text = |path: &Path| disk::read_text(path).ok();
    let system = text(Path::new("/proc/meminfo")).and_then(|meminfo| in_system(&meminfo));
    let groups = text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let in_groups = folders(&groups).into_iter().filter_map(|folder| {
        let number = |file: &str| text(&folder.join(file))?.trim().parse::<u64>().ok();
        let (limit, used) = match number("memory.max") {
            Some(limit) => (limit, number("memory.current")?),
            None => (number("memory.limit_in_bytes")?, number("memory.usage_in_bytes")?),
        };
        let cached = text(&folder.join("memory.stat")).and_then(|stat| reclaimable(&stat)).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    });
    in_groups.chain(system).min()
}

/// What `/proc/meminfo` calls available.
fn in_system(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Files that the system keeps in memory and gives up first.
fn reclaimable(stat: &str) -> Option<u64> {
    let line = |key: &str| stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
    line("total_inactive_file").or_else(|| line("inactive_file"))
}

/// The folders of a process's control groups that may hold a limit of memory, by both versions of the interface, and
/// where a container shows its own group as the root.
fn folders(groups: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            _ if controllers.split(',').any(|controller| controller == "memory") => Path::new("/sys/fs/cgroup/memory"),
            _ => continue,
        };
        found.extend([root.join(path.trim_start_matches('/')), root.to_owned()]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_writes_is_read() {
        assert_eq!(in_system("MemTotal:       24 kB\nMemAvailable:    16000 kB\n"), Some(16_384_000));
        assert_eq!(in_system("MemTotal:       24 kB\n"), None);
        assert_eq!(reclaimable("anon 5\ninactive_file 12\nactive_file 7\n"), Some(12));
        assert_eq!(reclaimable("inactive_file 12\ntotal_inactive_file 40\n"), Some(40));
    }

    #[test]
    fn groups_of_both_versions_have_their_folders() {
        let of = |text: &str| folders(text).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(of("0::/user.slice\n"), ["/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"]);
        let old = "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n";
        assert_eq!(of(old), ["/sys/fs/cgroup/memory/docker/1", "/sys/fs/cgroup/memory"]);
        assert!(of("broken").is_empty());
    }

    #[test]
    fn this_machine_has_some() {
        if !Path::new("/proc/meminfo").exists() {
            println!("skipped: no /proc/meminfo here");
            return;
        }
        let available = available().unwrap();
        assert!(available > 1 << 20 && available < 1 << 50, "{available}");
    }
}
