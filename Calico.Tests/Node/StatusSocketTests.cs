using System.Net.Sockets;
using Calico.Node.Http;

namespace Calico.Tests.Node;

/// <summary>The path that a process of this host is asked on.</summary>
[Layer("unit")]
public sealed class StatusSocketTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-socket-").FullName;

    private string Path => System.IO.Path.Combine(_folder, "bgp.sock");

    [Fact]
    public void A_socket_that_nobody_answers_on_is_free_and_one_that_somebody_does_is_not()
    {
        Assert.Null(StatusServer.WhyNot(Path));
        using (var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            listener.Bind(new UnixDomainSocketEndPoint(Path));
            listener.Listen();
            Assert.Contains("another process answers there", StatusServer.WhyNot(Path), StringComparison.Ordinal);
        }
        Assert.Null(StatusServer.WhyNot(Path));
    }

    [Fact]
    public void What_is_no_socket_is_not_taken_for_one_that_was_left()
    {
        File.WriteAllText(Path, "kind: Node");
        Assert.Equal("is there and no socket", StatusServer.WhyNot(Path));
        Assert.Equal("is there and no socket", StatusServer.WhyNot(_folder));
        Assert.Equal($"there is no folder {_folder}/not", StatusServer.WhyNot($"{_folder}/not/bgp.sock"));
        Assert.Contains("at most 107 octets", StatusServer.WhyNot(Path + new string('x', 107)), StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
