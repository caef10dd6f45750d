using Akka.Actor;
using Calico.Actors.Cluster.Owners;
using CsCheck;

namespace Calico.Tests.Actors.Cluster;

[Layer("unit")]
public class OwnerTableTests
{
    private static readonly string[] Owners = [.. Enumerable.Range(0, 4096).Select(i => $"10.{65 + i / 1024}.{i / 4 % 256}.{i % 4 * 64}/26")];

    private static readonly Gen<int[]> Hosts = Gen.Int[1, 60].Array[2, 20].Where(a => a.Distinct().Count() > 1);

    private static Address Member(int host) => new("akka.ssl.tcp", "calico-mesh", $"192.0.2.{host}", 5473);

    private static OwnerTable Table(IEnumerable<int> hosts) => OwnerTable.Of(hosts.Select(Member));

    [Fact]
    public void Nobody_has_anything_as_long_as_nobody_is_a_member() => Assert.Null(OwnerTable.Empty.MemberOf("n1"));

    [Fact]
    public void Who_knows_of_the_same_members_says_the_same() => Hosts.Sample(hosts =>
    {
        var (one, other) = (Table(hosts), Table(hosts.Reverse().Concat(hosts)));
        Assert.Equal(one.Members, other.Members);
        Assert.All(Owners.Take(200), o => Assert.Equal(one.MemberOf(o), other.MemberOf(o)));
    });

    [Fact]
    public void Who_goes_moves_no_owner_of_the_others() => Hosts.Sample(hosts =>
    {
        var gone = Member(hosts[0]);
        var (before, after) = (Table(hosts), Table(hosts.Where(h => h != hosts[0])));
        Assert.All(Owners.Take(500).Where(o => before.MemberOf(o) != gone), o => Assert.Equal(before.MemberOf(o), after.MemberOf(o)));
        Assert.DoesNotContain(Owners.Take(500), o => after.MemberOf(o) == gone);
    });

    [Theory]
    [InlineData(3)]
    [InlineData(16)]
    public void Each_has_its_share(int members)
    {
        var table = Table(Enumerable.Range(1, members));
        var shares = Owners.GroupBy(table.MemberOf).ToDictionary(g => g.Key!, g => g.Count());
        Assert.Equal(members, shares.Count);
        Assert.All(shares.Values, s => Assert.InRange(s * members / (double)Owners.Length, 0.75, 1.25));
    }

    // Members of two releases must agree while a cluster is upgraded.
    [Fact]
    public void The_hash_is_the_same_in_every_release() => Assert.Equal([1, 9, 8, 2],
        new[] { "n1", "10.65.0.0/26", "fd00:65::/122", "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.web" }
            .Select(o => int.Parse(Table(Enumerable.Range(1, 9)).MemberOf(o)!.Host!.Split('.')[3], System.Globalization.CultureInfo.InvariantCulture)));
}
