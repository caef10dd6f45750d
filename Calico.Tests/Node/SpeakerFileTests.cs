using Calico.Actors.Bgp;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Calico.Node.Bgp;

namespace Calico.Tests.Node;

[Layer("unit")]
public class SpeakerFileTests
{
    private const string Reflector = """
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: rr1}
        spec: {bgp: {ipv4Address: 192.0.2.1/24, ipv6Address: "2001:db8::1/64", asNumber: 65000}}
        ---

        """;

    private const string Peer = """
        apiVersion: projectcalico.org/v3
        kind: BGPPeer
        metadata: {name: router}
        spec: {peerIP: 192.0.2.9, asNumber: 65001}
        """;

    private static SpeakerConfig Parse(string text, string node = "rr1") => SpeakerFile.Parse(text, "speaker.yaml", node);

    private static string[] Problems(string text, string node = "rr1") =>
        Assert.Throws<SpeakerFileException>(() => Parse(text, node)).Message.Split('\n');

    [Fact]
    public void It_listens_on_the_addresses_of_its_node_and_nowhere_else()
    {
        var config = Parse(Reflector + Peer);

        Assert.Equal(["192.0.2.1", "2001:db8::1"], config.ListenAddresses.Select(a => a.ToString()));
        Assert.Equal(new Asn(65000), config.LocalAs);
        Assert.Equal((IpAddr.Parse("192.0.2.9"), new Asn(65001)), Assert.Single(config.Peers.Select(p => (p.Address, p.As))));
    }

    [Fact]
    public void Every_error_is_told_with_its_place()
    {
        var problems = Problems(Reflector + """
            apiVersion: projectcalico.org/v3
            kind: BGPPeer
            metadata: {name: router}
            spec:
              peerIP: not-an-address
              asNumber: 65001
            ---
            apiVersion: projectcalico.org/v3
            kind: IPPool
            metadata: {name: pool}
            spec: {cidr: 10.0.0.0/16}
            """);

        Assert.Equal(2, problems.Length);
        Assert.StartsWith("speaker.yaml:10: BGPPeer(router): ", problems[0], StringComparison.Ordinal);
        Assert.Contains("IPPool means nothing to a speaker", problems[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Bfd_of_a_single_peer_is_its_annotation_and_one_that_cannot_be_read_is_told()
    {
        var right = Peer.Replace("{name: router}", "{name: router, annotations: {projectcalico.org/bfd: 100ms*5}}", StringComparison.Ordinal);
        var wrong = right.Replace("100ms*5", "fast", StringComparison.Ordinal);

        Assert.Equal("100ms*5", Assert.Single(Parse(Reflector + right).Peers).Bfd?.ToString());
        var problem = Assert.Single(Problems(Reflector + wrong));
        Assert.StartsWith("speaker.yaml:8: BGPPeer(router): ", problem, StringComparison.Ordinal);
        Assert.Contains("projectcalico.org/bfd must be off, or an interval and a multiplier such as 300ms*3", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Filters_are_taken_and_one_that_is_missing_is_told()
    {
        const string Filter = """

            ---
            apiVersion: projectcalico.org/v3
            kind: BGPFilter
            metadata: {name: f}
            spec: {importV4: [{action: Reject}]}
            """;
        var peer = Peer.Replace("65001}", "65001, filters: [f]}", StringComparison.Ordinal);

        Assert.NotNull(Assert.Single(Parse(Reflector + peer + Filter).Peers).Import);
        Assert.Equal(["speaker.yaml: a BGPPeer names BGPFilter 'f', which is not in the file"], Problems(Reflector + peer));
    }

    [Fact]
    public void A_node_that_is_not_in_the_file_is_told_with_those_that_are() =>
        Assert.Equal(["speaker.yaml: has no Node 'rr2'; its Nodes are: rr1"], Problems(Reflector + Peer, "rr2"));

    [Fact]
    public void A_node_without_an_address_cannot_listen() =>
        Assert.Contains("has neither spec.bgp.ipv4Address nor spec.bgp.ipv6Address", Assert.Single(Problems("""
            apiVersion: projectcalico.org/v3
            kind: Node
            metadata: {name: rr1}
            """)), StringComparison.Ordinal);

    [Theory]
    [InlineData("0.0.0.0", "is no host's address")]
    [InlineData("224.0.0.1", "is no host's address")]
    [InlineData("fe80::2", "is a link-local address")]
    [InlineData("[fe80::2]:1790", "is a link-local address")]
    public void An_address_that_nobody_can_have_a_session_with_is_told(string address, string why)
    {
        var problem = Assert.Single(Problems(Reflector + Peer.Replace("192.0.2.9", $"'{address}'", StringComparison.Ordinal)));

        Assert.StartsWith("speaker.yaml: BGPPeer 'router': spec.peerIP ", problem, StringComparison.Ordinal);
        Assert.Contains(why, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_password_in_the_place_of_a_reference_to_it_is_not_repeated()
    {
        var problem = Assert.Single(Problems(Reflector + Peer.Replace("65001}", "65001, password: hunter2}", StringComparison.Ordinal)));

        Assert.Contains("spec.password", problem, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("65001", "65002")]
    [InlineData("192.0.2.9", "192.0.2.10")]
    public void Of_two_resources_of_one_name_none_is_silently_left_out(string of, string another)
    {
        var problem = Assert.Single(Problems(Reflector + Peer + "\n---\n" + Peer.Replace(of, another, StringComparison.Ordinal)));

        Assert.Equal("speaker.yaml:13: BGPPeer(router): is in the file already, at speaker.yaml:8; give one of both another name", problem);
    }

    [Fact]
    public void No_session_begins_with_0_as_our_own_AS_number()
    {
        Assert.Contains("0 is nobody's AS number", Assert.Single(Problems(Reflector.Replace("asNumber: 65000", "asNumber: 0", StringComparison.Ordinal) + Peer)), StringComparison.Ordinal);
        Assert.Contains("0 is nobody's AS number", Assert.Single(Problems(Reflector + Peer.Replace("65001", "65001, localASNumber: 0", StringComparison.Ordinal))), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_YAML_is_told_with_its_line() =>
        Assert.StartsWith("speaker.yaml:", Assert.Single(Problems("a: [1\nb: 2")), StringComparison.Ordinal);
}
