using System.Security.Cryptography.X509Certificates;
using Calico.Actors.Cluster;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public sealed class MutualTlsTests(ITestOutputHelper output) : IDisposable
{
    private readonly MeshAuthority _authority = new("mesh authority");
    private readonly MeshAuthority _other = new("somebody else's authority");

    public void Dispose()
    {
        _authority.Dispose();
        _other.Dispose();
    }

    [Fact]
    public async Task Members_with_certificates_of_one_authority_form_a_cluster()
    {
        await using var bed = new MeshBed(output);

        var peers = await bed.ThreeAsync(Honest);

        Assert.All(peers, p => Assert.StartsWith("akka.ssl.tcp://", p.Address, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("of another authority")]
    [InlineData("of the same authority that names no node")]
    public async Task A_node_with_a_certificate_that_does_not_count_never_becomes_a_member(string certificate)
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync(Honest)).ToArray();
        var stranger = bed.Add(66, o => Honest(o) with
        {
            Certificate = certificate.StartsWith("of another", StringComparison.Ordinal)
                ? _other.Issue(o.Node, $"calico://node/{o.Node}")
                : _authority.Issue(o.Node, null),
            // It trusts everybody: that it is kept out is the members' doing.
            TrustedRoots = [_authority.Root, _other.Root],
        });

        await MeshBed.StartAsync(stranger);
        // Whether it sees its handshake fail, and then ends, or only its connection close, and then tries again, is a race.
        await bed.UntilAsync(() => Refusals() >= 3 || (Refusals() > 0 && !stranger.IsRunning), "the stranger has been refused and gave up, or three times");

        Assert.Empty(stranger.View.Members);
        var fourth = bed.Add(4, Honest);
        await MeshBed.StartAsync(fourth);
        await bed.AreOneClusterAsync([.. peers, fourth]);
        Assert.Empty(stranger.View.Members);

        int Refusals() => peers.Sum(p => p.Log.Count(l => l.Contains("certificate was refused", StringComparison.Ordinal)));
    }

    private MeshOptions Honest(MeshOptions options) => options with
    {
        Certificate = _authority.Issue(options.Node, $"calico://node/{options.Node}"),
        TrustedRoots = [_authority.Root],
    };
}
