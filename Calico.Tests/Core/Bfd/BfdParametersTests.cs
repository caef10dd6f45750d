using Calico.Core.Bfd;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bfd;

[Layer("unit")]
public class BfdParametersTests
{
    [Fact]
    public void The_defaults_are_300_ms_and_3()
    {
        var defaults = new BfdParameters();

        Assert.Null(defaults.Problem);
        Assert.Equal((TimeSpan.FromMilliseconds(300), 3), (defaults.Interval, defaults.Multiplier));
    }

    [Theory]
    [InlineData(10, 1, null)]
    [InlineData(60_000, 255, null)]
    [InlineData(9.999, 3, "BFD interval 9.999 ms: must be between 10 ms and 60 s")]
    [InlineData(60_001, 3, "BFD interval 60001 ms: must be between 10 ms and 60 s")]
    [InlineData(300, 0, "BFD multiplier 0: must be between 1 and 255")]
    [InlineData(300, 256, "BFD multiplier 256: must be between 1 and 255")]
    public void What_is_out_of_bounds_is_said(double milliseconds, int multiplier, string? problem) =>
        Assert.Equal(problem, new BfdParameters { Interval = TimeSpan.FromMilliseconds(milliseconds), Multiplier = multiplier }.Problem);

    [Fact]
    public void Who_asked_for_the_shortest_detection_time_decides_for_all()
    {
        var shared = BfdParameters.Fastest(
        [
            new() { Interval = TimeSpan.FromMilliseconds(50), Multiplier = 10, Role = BfdRole.Passive, ControlPlaneIndependent = true },
            new() { Interval = TimeSpan.FromMilliseconds(100), Multiplier = 3 },
            new(),
        ]);

        Assert.Equal(new BfdParameters { Interval = TimeSpan.FromMilliseconds(100), Multiplier = 3 }, shared);
    }

    [Theory]
    [InlineData("192.0.2.1", "192.0.2.2", null, false, true)]
    [InlineData("fd00::1", "fd00::2", "eth0", true, true)]
    [InlineData("fe80::1", "fe80::2", "eth0", false, true)]
    [InlineData("fe80::1", "fe80::2", null, false, false)]
    [InlineData("fe80::1", "fe80::2", "eth0", true, false)]
    [InlineData("192.0.2.1", "fd00::2", null, false, false)]
    [InlineData("192.0.2.1", "0.0.0.0", null, false, false)]
    [InlineData("224.0.0.1", "192.0.2.2", null, false, false)]
    [InlineData("192.0.2.1", "192.0.2.2", "a-name-that-is-too-long", false, false)]
    public void An_endpoint_says_whether_it_can_be(string neighbour, string local, string? device, bool multihop, bool possible) =>
        Assert.Equal(possible, new BfdEndpoint(IpAddr.Parse(neighbour), IpAddr.Parse(local), device, multihop).Problem is null);
}
