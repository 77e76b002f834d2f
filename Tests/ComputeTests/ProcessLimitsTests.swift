// What a process may use, as the files of the kernel say it.

import Compute
import Testing

@Suite("Limits of a process")
struct ProcessLimitsTests {
    private let plain = [
        "/proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n",
        "/proc/self/limits": "Limit Soft Hard Units\nMax open files            1024                 524288     files\n",
    ]

    private func limits(_ files: [String: String]) -> ProcessLimits {
        let all = plain.merging(files) { $1 }
        return ProcessLimits { all[$0] }
    }

    @Test func withoutCgroupsTheHostCounts() {
        let limits = limits([:])
        #expect(limits.memory == 8000 * 1024 && limits.groupMemory == nil && limits.cpuQuota == nil)
        #expect(limits.openFiles == 1024 && limits.threads(of: 8) == 8)
        #expect(ProcessLimits { _ in nil }.memory == nil)
    }

    @Test func theTightestGroupOfV2Counts() {
        let limits = limits([
            "/proc/self/cgroup": "0::/system.slice/run-1.service\n",
            "/proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
            "/sys/fs/cgroup/system.slice/memory.max": "6000000\n",
            "/sys/fs/cgroup/system.slice/memory.current": "1000000\n",
            "/sys/fs/cgroup/system.slice/run-1.service/memory.max": "4000000\n",
            "/sys/fs/cgroup/system.slice/run-1.service/memory.high": "max\n",
            "/sys/fs/cgroup/system.slice/run-1.service/memory.current": "900000\n",
            "/sys/fs/cgroup/system.slice/run-1.service/memory.stat": "anon 1\ninactive_file 400000\n",
            "/sys/fs/cgroup/system.slice/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/system.slice/run-1.service/cpu.max": "150000 100000\n",
        ])
        let folder = "/sys/fs/cgroup/system.slice/run-1.service"
        #expect(limits.groupMemory == .init(value: 3_500_000, file: "\(folder)/memory.max"))
        #expect(limits.memory == 3_500_000)
        #expect(limits.cpuQuota == .init(value: 1.5, file: "\(folder)/cpu.max"))
        #expect([1, 2, 8].map(limits.threads(of:)) == [1, 2, 2])
    }

    @Test func theHostCountsWhereItHasLess() {
        let limits = limits([
            "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n",
            "/sys/fs/cgroup/memory.max": "900000000\n",
        ])
        #expect(limits.groupMemory?.value == 900_000_000 && limits.memory == 8000 * 1024)
    }

    @Test func groupsOfV1AreReadEachInItsHierarchy() {
        let unlimited = "9223372036854771712\n"
        let limits = limits([
            "/proc/self/cgroup": "4:memory:/jobs/7\n3:cpu,cpuacct:/jobs/7\n1:name=systemd:/\n",
            "/proc/self/mountinfo": """
            1 2 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
            1 2 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
            """,
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited,
            "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": unlimited,
            "/sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes": "5000000\n",
            "/sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes": "6000000\n",
            "/sys/fs/cgroup/memory/jobs/7/memory.stat": "inactive_file 7\ntotal_inactive_file 2000000\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu/jobs/7/cpu.cfs_quota_us": "50000\n",
            "/sys/fs/cgroup/cpu/jobs/7/cpu.cfs_period_us": "100000\n",
        ])
        #expect(limits.groupMemory?.value == 1_000_000)
        #expect(limits.cpuQuota?.value == 0.5 && limits.threads(of: 4) == 1)
    }

    @Test func aContainerSeesItsOwnGroupAsTheTop() {
        let mount = "9 8 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
        for group in ["/docker/abc", "/", "/../def"] {
            let limits = limits([
                "/proc/self/cgroup": "0::\(group)\n", "/proc/self/mountinfo": mount,
                "/sys/fs/cgroup/memory.max": "7000\n",
            ])
            #expect(limits.groupMemory == .init(value: 7000, file: "/sys/fs/cgroup/memory.max"), "\(group)")
        }
    }

    @Test func theseAreOurs() {
        let limits = ProcessLimits.current()
        #expect((limits.memory ?? 0) > 1 << 20 && (limits.openFiles ?? 0) > 3)
    }
}
