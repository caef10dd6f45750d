using Calico.Node.Agent;

namespace Calico.Tests.Node;

[Layer("unit")]
public sealed class NodeNameFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-nodename-").FullName;

    private string Name => Path.Combine(_folder, "nodename");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_name_is_written_and_another_one_takes_its_place()
    {
        Assert.True(NodeNameFile.TryWrite(Name, "node-1"));
        Assert.True(NodeNameFile.TryWrite(Name, "node-2"));

        Assert.Equal("node-2", File.ReadAllText(Name));
    }

    [Fact]
    public void A_file_that_has_the_name_is_not_written_again()
    {
        File.WriteAllText(Name, "node-1");
        File.SetLastWriteTimeUtc(Name, DateTime.UnixEpoch);

        Assert.True(NodeNameFile.TryWrite(Name, "node-1"));

        Assert.Equal(DateTime.UnixEpoch, File.GetLastWriteTimeUtc(Name));
    }

    [Fact]
    public void A_name_that_cannot_be_written_keeps_no_agent_from_starting()
    {
        Directory.CreateDirectory(Name);

        Assert.False(NodeNameFile.TryWrite(Name, "node-1"));
        Assert.False(NodeNameFile.TryWrite(Path.Combine(_folder, "missing", "nodename"), "node-1"));
    }
}
