using Calico.Kernel.Sockets;

namespace Calico.Tests.Kernel;

[Layer("unit")]
public class TcpDropsTests
{
    [Fact]
    public void Values_stand_in_the_line_behind_the_names() =>
        Assert.Equal(new TcpDrops(3, 4, 5, 6), TcpDrops.Parse("""
            IpExt: InNoRoutes InTruncatedPkts
            IpExt: 1 2
            TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure Other TCPMinTTLDrop
            TcpExt: 9 3 4 5 9 6

            """));

    [Theory]
    [InlineData("")]
    [InlineData("TcpExt: A B\nTcpExt: 1 2\n")]
    [InlineData("TcpExt: TCPMD5Failure")]
    [InlineData("TcpExt: A TCPMD5Failure\nTcpExt: 1")]
    [InlineData("TcpExt: TCPMD5Failure\nTcpExt: x\n")]
    public void What_a_kernel_does_not_count_is_zero(string text) => Assert.Equal(default, TcpDrops.Parse(text));

    [Fact]
    public void This_kernel_has_the_file() => Assert.Contains("TcpExt:", File.ReadAllText("/proc/self/net/netstat"), StringComparison.Ordinal);
}
