//! Where which controller is: `/proc/self/mountinfo` and `/proc/self/cgroup`, read purely.

use std::path::{Path, PathBuf};

/// The hierarchies of this host and where this process is in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hierarchies {
    two: Option<PathBuf>,
    two_own: String,
    /// Controllers, mount point, own group.
    one: Vec<(Vec<String>, PathBuf, String)>,
}

/// The group below which a workload's group is made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the unified hierarchy.
    VersionTwo(PathBuf),
    /// In a controller's own hierarchy.
    VersionOne(PathBuf),
}

impl Hierarchies {
    /// Lines that are not understood are about something else.
    pub(super) fn parse(mounts: &str, membership: &str) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            let Some((head, tail)) = line.split_once(" - ") else { continue };
            let head: Vec<&str> = head.split(' ').collect();
            let tail: Vec<&str> = tail.split(' ').collect();
            let (Some(root), Some(point)) = (head.get(3), head.get(4)) else { continue };
            let point = PathBuf::from(point.replace("\\040", " "));
            match (tail.first(), tail.get(2)) {
                (Some(&"cgroup2"), _) => {
                    found.two_own = own(membership, "", root);
                    found.two.get_or_insert(point);
                }
                (Some(&"cgroup"), Some(options)) => {
                    let controllers: Vec<String> = options.split(',').map(str::to_owned).collect();
                    let group =
                        controllers.iter().map(|one| own(membership, one, root)).find(|own| own != "/");
                    found.one.push((controllers, point, group.unwrap_or_else(|| "/".to_owned())));
                }
                _ => {}
            }
        }
        found
    }

    /// Where a controller's groups are made; `has` says whether a group of version 2 can hand it down.
    pub(super) fn place(&self, controller: &str, has: impl Fn(&Path, &str) -> bool) -> Option<Place> {
        if let Some(mount) = &self.two {
            // A group of version 2 with processes in it hands nothing down, unless it is the root: hence its parent.
            let group = self.two_own.rsplit_once('/').map_or("", |(parent, _)| parent);
            let parent = below(mount, group);
            if has(&parent, controller) {
                return Some(Place::VersionTwo(parent));
            }
        }
        // The name of the block controller changed between the versions.
        let name = if controller == "io" { "blkio" } else { controller };
        let (_, mount, own) = self.one.iter().find(|(all, ..)| all.iter().any(|one| one == name))?;
        Some(Place::VersionOne(below(mount, own)))
    }
}

/// The group of this process in a hierarchy, seen from what is mounted of it.
fn own(membership: &str, controller: &str, root: &str) -> String {
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        if controllers.split(',').any(|one| one == controller) {
            let seen = if root == "/" { Some(path) } else { path.strip_prefix(root) };
            return seen.filter(|path| !path.is_empty()).unwrap_or("/").to_owned();
        }
    }
    "/".to_owned()
}

fn below(mount: &Path, group: &str) -> PathBuf {
    match group.trim_start_matches('/') {
        "" => mount.to_owned(),
        group => mount.join(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
35 31 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const MEMBER: &str = "4:memory:/outer/job\n2:cpu,cpuacct:/\n3:blkio:/\n0::/a/b\n";

    fn path(text: &str) -> PathBuf {
        text.into()
    }

    #[test]
    fn version_two_first_then_version_one_below_the_own_group() {
        let found = Hierarchies::parse(HYBRID, MEMBER);
        let none = |_: &Path, _: &str| false;
        assert_eq!(
            found.place("memory", none),
            Some(Place::VersionOne(path("/sys/fs/cgroup/memory/outer/job")))
        );
        assert_eq!(found.place("cpu", none), Some(Place::VersionOne(path("/sys/fs/cgroup/cpu"))));
        assert_eq!(found.place("io", none), Some(Place::VersionOne(path("/sys/fs/cgroup/blkio"))));
        assert_eq!(found.place("pids", none), None);
        let all = |parent: &Path, _: &str| parent == Path::new("/sys/fs/cgroup/unified/a");
        assert_eq!(found.place("memory", all), Some(Place::VersionTwo(path("/sys/fs/cgroup/unified/a"))));
    }

    #[test]
    fn a_process_in_the_root_group_makes_groups_in_it() {
        let found = Hierarchies::parse("3 1 0:3 / /sys/fs/cgroup rw - cgroup2 none rw\n", "0::/\n");
        assert_eq!(found.place("pids", |_, _| true), Some(Place::VersionTwo(path("/sys/fs/cgroup"))));
    }
}
