using Calico.Actors.Endpoints;
using Calico.Tests.Datastore;

namespace Calico.Tests.Actors.Endpoints;

[Layer("unit")]
public sealed class WorkloadJournalTests : IDisposable
{
    private readonly TemporaryDirectory _folder = new();

    private string Folder => Path.Combine(_folder.Path, "workloads");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_a_kill_left_half_written_is_removed_at_the_next_start()
    {
        new WorkloadJournal(Folder).Put(Pod("a"));
        File.WriteAllText(Path.Combine(Folder, "b@eth0.json.tmp"), "{\"Cont");

        var workloads = new WorkloadJournal(Folder).Load((path, cause) => Assert.Fail($"{path}: {cause}"));

        Assert.Equal(["a"], workloads.Select(w => w.ContainerId));
        Assert.Equal(["a@eth0.json"], Names());
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"ContainerId\": \"b\"")]
    [InlineData("{}")]
    public void What_a_power_cut_left_of_a_file_is_told_once_and_put_aside(string content)
    {
        new WorkloadJournal(Folder).Put(Pod("a"));
        File.WriteAllText(Path.Combine(Folder, "b@eth0.json"), content);
        var told = new List<string>();

        Assert.Single(new WorkloadJournal(Folder).Load((path, _) => told.Add(path)));
        Assert.Single(new WorkloadJournal(Folder).Load((path, _) => told.Add(path)));

        Assert.Equal([Path.Combine(Folder, "b@eth0.json")], told);
        Assert.Equal(["a@eth0.json", "b@eth0.json.bad"], Names());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_write_that_fails_leaves_nothing_behind(bool isSynced)
    {
        var journal = new WorkloadJournal(Folder);
        Directory.CreateDirectory(Path.Combine(Folder, "a@eth0.json"));

        Assert.ThrowsAny<Exception>(() => journal.Put(Pod("a"), isSynced));

        Assert.Equal(["a@eth0.json"], Names());
    }

    [Fact]
    public void What_could_never_be_written_is_removed_without_a_fault()
    {
        var journal = new WorkloadJournal(Folder);
        var pod = Pod(new string('a', 300));

        Assert.ThrowsAny<IOException>(() => journal.Put(pod));
        journal.Remove(pod);

        Assert.Empty(Names());
    }

    [Fact]
    public void Only_its_owner_can_look_into_it()
    {
        Directory.CreateDirectory(Folder, (UnixFileMode)0x1ED);

        _ = new WorkloadJournal(Folder);

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(Folder));
    }

    private string[] Names() => [.. Directory.GetFileSystemEntries(Folder).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal)];

    private static Workload Pod(string container) => new()
    {
        ContainerId = container,
        Network = "net",
        Orchestrator = Workload.CniOrchestrator,
        Namespace = "default",
        Name = container,
        PodInterface = "eth0",
        HostInterface = "cali" + container,
    };
}
