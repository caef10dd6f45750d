using System.Diagnostics;
using Calico.Core.Cni;

namespace Calico.Tests.Cni;

/// <summary>DELs that find no node: what the shim promises alone.</summary>
[Layer("aot")]
public sealed class PendingDeleteTests : IAsyncLifetime
{
    private const string Config = """{"cniVersion": "1.0.0", "name": "net1", "type": "calico"}""";

    private readonly ShimBed _bed = new();

    public Task InitializeAsync() => _bed.InitializeAsync();
    public Task DisposeAsync() => _bed.DisposeAsync();

    [Fact]
    public async Task A_delete_without_a_node_succeeds_and_is_on_disk_for_root_alone()
    {
        var run = await _bed.RunAsync(_bed.Environment("DEL"), Config);

        Assert.Equal((0, ""), (run.ExitCode, run.Output));
        Assert.Contains("the DEL of container cid-1 waits in", run.Errors, StringComparison.Ordinal);
        var file = Assert.Single(Directory.GetFiles(_bed.Pending));
        Assert.Equal(CniPendingDelete.NameOf(CniPlugin.Interface, "net1", "cid-1", "eth0"), Path.GetFileName(file));
        var request = Assert.IsType<CniRequest>(Calico.Actors.Cni.CniPending.Read(file, out _));
        Assert.Equal((CniCommand.Del, "cid-1", false), (request.Command, request.ContainerId, request.NetnsAttached));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(_bed.Pending));
    }

    [Fact]
    public async Task A_repeated_delete_takes_the_place_of_the_first()
    {
        await _bed.RunAsync(_bed.Environment("DEL"), Config);
        await _bed.RunAsync(_bed.Environment("DEL"), Config);

        Assert.Single(Directory.GetFiles(_bed.Pending));
    }

    [Fact]
    public async Task A_node_that_died_midway_has_the_delete_wait_too()
    {
        await _bed.StartNode().DisposeAsync();

        var run = await _bed.RunAsync(_bed.Environment("DEL"), Config);

        Assert.Equal(0, run.ExitCode);
        Assert.Single(Directory.GetFiles(_bed.Pending));
    }

    [Theory]
    [InlineData("ADD")]
    [InlineData("CHECK")]
    [InlineData("STATUS")]
    public async Task Nothing_else_waits(string command)
    {
        var run = await _bed.RunAsync(_bed.Environment(command), Config);

        Assert.Equal(1, run.ExitCode);
        Assert.False(Directory.Exists(_bed.Pending));
    }

    [Fact]
    public async Task A_delete_that_cannot_be_recorded_is_to_be_repeated_and_says_why()
    {
        await File.WriteAllTextAsync(Path.Combine(Path.GetDirectoryName(_bed.Socket)!, "cni"), "in the way");

        var run = await _bed.RunAsync(_bed.Environment("DEL"), Config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains("the DEL cannot be left for its next start", run.Message, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("chown", "12345", "belongs to user 12345")]
    [InlineData("chmod", "0777", "others than root may write")]
    public async Task A_folder_that_others_can_write_to_is_not_trusted(string program, string argument, string why)
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "only root can give a folder away");
        Directory.CreateDirectory(_bed.Pending);
        using (var change = Process.Start(program, [argument, _bed.Pending]))
            await change.WaitForExitAsync();

        var run = await _bed.RunAsync(_bed.Environment("DEL"), Config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains(why, run.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task There_is_a_bound_to_how_many_wait_and_how_long_they_are()
    {
        Directory.CreateDirectory(_bed.Pending, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var large = Path.Combine(_bed.Pending, "large.del");
        using (var file = File.OpenHandle(large, FileMode.CreateNew, FileAccess.Write))
            RandomAccess.SetLength(file, CniPendingDelete.MaxBytes);
        var tooLong = await _bed.RunAsync(_bed.Environment("DEL"), Config);
        File.Delete(large);
        for (var i = 0; i < CniPendingDelete.MaxCount; i++)
            await File.WriteAllBytesAsync(Path.Combine(_bed.Pending, $"{i}.del"), []);
        var tooMany = await _bed.RunAsync(_bed.Environment("DEL"), Config);

        Assert.Equal((11, 11), (tooLong.Code, tooMany.Code));
        Assert.Contains("more than", tooLong.Message, StringComparison.Ordinal);
        Assert.Contains("4096 DELs wait", tooMany.Message, StringComparison.Ordinal);
    }
}

/// <summary>DELs that found no node, and the node that comes back.</summary>
[Layer("kernel")]
public sealed class PendingDeleteNodeTests
{
    private static readonly string Config = NodeBed.Config("net");

    [Fact]
    public async Task A_node_that_comes_back_carries_out_the_deletes_that_wait_and_then_forgets_them()
    {
        await using var bed = await NodeBed.StartDualAsync();
        await bed.AddAsync(bed.CreatePod(), Config, "a");
        await bed.AddAsync(bed.CreatePod(), Config, "b");
        await bed.StopNodeAsync();
        await bed.DelAsync(null, Config, "a");
        await bed.DelAsync(null, Config, "never-added");
        Assert.Equal(2, Directory.GetFiles(bed.Pending).Length);

        await bed.StartNodeAsync();

        await Wait.Until(() => Directory.GetFiles(bed.Pending).Length == 0, "the end of the waiting");
        Assert.Equal(["b"], (await bed.WorkloadsAsync()).Select(w => w.ContainerId));
        Assert.Equal((1, 1), (await bed.AllocatedAsync(), bed.HostLinks()));
    }

    [Fact]
    public async Task An_ADD_after_a_delete_that_waits_is_made_anew_and_stays()
    {
        await using var bed = await NodeBed.StartDualAsync();
        await bed.AddAsync(bed.CreatePod(), Config);
        await bed.StopNodeAsync();
        await bed.DelAsync(null, Config);
        var pod = bed.CreatePod();

        await bed.StartNodeAsync();
        await bed.AddAsync(pod, Config);

        await Wait.Until(() => Directory.GetFiles(bed.Pending).Length == 0, "the end of the waiting");
        Assert.Equal(pod.Path, Assert.Single(await bed.WorkloadsAsync()).NetnsPath);
        using var links = pod.OpenLinks();
        Assert.NotNull(links.Find("eth0"));
        Assert.Equal((1, 1), (await bed.AllocatedAsync(), bed.HostLinks()));
    }

    [Fact]
    public async Task A_delete_that_appears_while_the_node_runs_is_noticed()
    {
        await using var bed = await NodeBed.StartDualAsync();
        await bed.AddAsync(bed.CreatePod(), Config);
        var record = new CniRequest(CniCommand.Del, CniPlugin.Interface)
        {
            ContainerId = "cid-1",
            InterfaceName = "eth0",
            Config = System.Text.Encoding.UTF8.GetBytes(Config),
        };
        var path = Path.Combine(bed.Pending, CniPendingDelete.NameOf(CniPlugin.Interface, "net", "cid-1", "eth0"));
        await File.WriteAllBytesAsync(path + ".1.tmp", record.ToFrame());
        File.Move(path + ".1.tmp", path);

        await Wait.Until(() => !File.Exists(path), "the end of the waiting");

        Assert.Empty(await bed.WorkloadsAsync());
    }

    [Fact]
    public async Task A_record_that_is_garbage_is_put_aside_and_harms_nobody()
    {
        await using var bed = await NodeBed.StartDualAsync();
        await bed.StopNodeAsync();
        var path = Path.Combine(bed.Pending, new string('a', 32) + ".del");
        await File.WriteAllTextAsync(path, "not a frame");

        await bed.StartNodeAsync();

        await Wait.Until(() => File.Exists(path + ".bad"), "the putting aside");
        await bed.AddAsync(bed.CreatePod(), Config);
    }
}
