using System.Text.RegularExpressions;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>A BIRD that gets no session: the metrics of <c>calico-node bgp</c> count why, and the other sessions notice nothing.</summary>
[Layer("conformance")]
public sealed class RefusedPeerTests : InteropFixture
{
    public static TheoryData<string, string> Faults => new()
    {
        { "another AS", """calico_bgp_peer_notifications_total{peer="Global_192_0_2_2",address="192.0.2.2",direction="sent",code="2",subcode="2"}""" },
        { "a wrong password", """calico_tcp_dropped_segments_total{reason="password-wrong"}""" },
        { "no password", """calico_tcp_dropped_segments_total{reason="password-missing"}""" },
        { "a password too much", """calico_tcp_dropped_segments_total{reason="password-unexpected"}""" },
        { "a router between", """calico_tcp_dropped_segments_total{reason="too-far"}""" },
        { "a role that does not fit", """calico_bgp_peer_notifications_total{peer="Global_192_0_2_2",address="192.0.2.2",direction="sent",code="2",subcode="11"}""" },
    };

    [SkippableTheory]
    [MemberData(nameof(Faults))]
    public async Task What_keeps_a_session_from_coming_up_is_counted_and_touches_no_other(string fault, string counter)
    {
        var theirs = External with
        {
            Password = fault is "a wrong password" or "a password too much" ? "theirs" : null,
            Role = fault == "a role that does not fit" ? "provider" : null,
        };
        await StartAsync("bird", theirs, new OurConfig
        {
            TheirAs = fault == "another AS" ? 65099 : theirs.As,
            Password = fault is "a wrong password" or "no password" ? "ours" : null,
            HasTtlSecurity = fault == "a router between",
            Role = fault == "a role that does not fit" ? "provider" : null,
        });
        var feeder = await Bed.FeedAsync(3, InteropBed.FeederAs, new FeederSession(1, InteropBed.OurAs, InteropBed.Fed));
        const string up = """calico_bgp_peer_up{peer="Global_192_0_2_3",address="192.0.2.3"} 1""";
        await UntilAsync(async () => (await Bed.MetricsAsync()).Contains(up, StringComparison.Ordinal), "the other session is up");

        await UntilAsync(async () => Regex.IsMatch(await Bed.MetricsAsync(), $"^{Regex.Escape(counter)} [1-9]", RegexOptions.Multiline), $"{counter} counts");
        var metrics = await Bed.MetricsAsync();
        Assert.Contains(up, metrics, StringComparison.Ordinal);
        Assert.Contains("""calico_bgp_peer_up{peer="Global_192_0_2_2",address="192.0.2.2"} 0""", metrics, StringComparison.Ordinal);
        Assert.Contains("""calico_bgp_peer_established_total{peer="Global_192_0_2_3",address="192.0.2.3"} 1""", metrics, StringComparison.Ordinal);
        Assert.Null(await Bed.FindAsync(TheirRoute));
        await feeder.TellsAsync(false);
    }
}
