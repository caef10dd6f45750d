using Calico.Actors.Cni;
using Calico.Core.Cni;

namespace Calico.Tests.Actors.Cni;

[Layer("unit")]
public sealed class CniLogTests : IDisposable
{
    private static readonly CniRequest Add = new(CniCommand.Add, CniPlugin.Interface) { ContainerId = "cid-1", InterfaceName = "eth0", Config = "{\n}"u8.ToArray() };
    private static readonly CniReply Refusal = new CniError(CniErrorCode.TryAgainLater, "not yet").ToReply(CniVersion.Newest);

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-log-").FullName;
    private readonly List<string> _reports = [];

    private string Path => System.IO.Path.Combine(_folder, "cni", "cni.log");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(CniLogLevel.Debug, 2)]
    [InlineData(CniLogLevel.Info, 2)]
    [InlineData(CniLogLevel.Error, 1)]
    public async Task Each_call_is_a_line_and_the_level_says_which(CniLogLevel level, int lines)
    {
        await WriteAsync(new CniLogOptions { Path = Path, Level = level }, CniReply.Done, Refusal);

        var written = await File.ReadAllLinesAsync(Path);
        Assert.Equal(lines, written.Length);
        Assert.Contains("[ERROR] calico ADD ContainerID=cid-1 IfName=eth0", written[^1], StringComparison.Ordinal);
        Assert.Contains("not yet", written[^1], StringComparison.Ordinal);
        Assert.Equal(level == CniLogLevel.Debug, written[0].Contains("config={ }", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_full_file_is_put_aside_and_too_many_are_removed()
    {
        var options = new CniLogOptions { Path = Path, MaxSize = 300, MaxCount = 2 };
        for (var i = 0; i < 8; i++)
        {
            await WriteAsync(options, CniReply.Done, CniReply.Done);
            // Files put aside are named by the millisecond.
            await Task.Delay(3);
        }

        var files = Directory.GetFiles(System.IO.Path.GetDirectoryName(Path)!);
        Assert.Equal(3, files.Length);
        Assert.All(files, f => Assert.InRange(new FileInfo(f).Length, 1, 300));
    }

    [Fact]
    public async Task Old_ones_are_removed()
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
        var old = System.IO.Path.Combine(_folder, "cni", "cni-20200102T030405678.log");
        await File.WriteAllTextAsync(old, "old");
        File.SetLastWriteTimeUtc(old, new DateTime(2020, 1, 2, 0, 0, 0, DateTimeKind.Utc));

        await WriteAsync(new CniLogOptions { Path = Path, MaxSize = 100 }, CniReply.Done, CniReply.Done);

        Assert.False(File.Exists(old));
    }

    [Fact]
    public async Task A_file_that_cannot_be_written_is_reported_once()
    {
        await File.WriteAllTextAsync(System.IO.Path.Combine(_folder, "cni"), "in the way");

        await WriteAsync(new CniLogOptions { Path = Path }, CniReply.Done, CniReply.Done, CniReply.Done);

        Assert.Contains(Path, Assert.Single(_reports), StringComparison.Ordinal);
    }

    private async Task WriteAsync(CniLogOptions options, params CniReply[] replies)
    {
        await using var log = new CniLog(TimeProvider.System, (what, _) => _reports.Add(what));
        foreach (var reply in replies)
            log.Write(Add, options, reply, TimeSpan.FromMilliseconds(12));
    }
}
