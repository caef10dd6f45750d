using Calico.Actors.Routing;
using Calico.Tests.Datastore;

namespace Calico.Tests.Actors.Routing;

[Layer("unit")]
public sealed class SecretFilesTests : IDisposable
{
    private readonly TemporaryDirectory _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_mounted_secret_is_read_through_its_links_without_the_line_end()
    {
        Directory.CreateDirectory(Path.Combine(_folder.Path, "bgp", "..data_1"));
        File.WriteAllText(Path.Combine(_folder.Path, "bgp", "..data_1", "rr"), "pass word\n");
        Directory.CreateSymbolicLink(Path.Combine(_folder.Path, "bgp", "..data"), "..data_1");
        File.CreateSymbolicLink(Path.Combine(_folder.Path, "bgp", "rr"), "..data/rr");

        Assert.Equal("pass word", new SecretFiles(_folder.Path).Read("bgp", "rr"));
    }

    [Theory]
    [InlineData("bgp", "missing")]
    [InlineData("bgp/..", "outside")]
    [InlineData("..", "outside")]
    [InlineData("bgp", "../outside")]
    [InlineData("", "outside")]
    public void What_is_not_there_or_lies_elsewhere_is_not_read(string name, string key)
    {
        var inside = Directory.CreateDirectory(Path.Combine(_folder.Path, "in", "bgp")).Parent!;
        File.WriteAllText(Path.Combine(_folder.Path, "outside"), "x");
        File.WriteAllText(Path.Combine(inside.FullName, "outside"), "x");

        Assert.Null(new SecretFiles(inside.FullName).Read(name, key));
        Assert.Null(new SecretFiles(null).Read("bgp", "rr"));
    }
}
