using System.Collections.Immutable;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Index;

namespace Calico.Tests.Core.Policy.Index;

[Layer("unit")]
public class EndpointIndexTests
{
    private readonly EndpointIndex _index = new();

    [Fact]
    public void A_new_set_announces_the_members_that_are_there()
    {
        _index.SetOwner("a", Pod("10.0.0.1", ("app", "web")));
        _index.AddSet(Selected("app == 'web'"));

        Assert.Equal("+10.0.0.1/32", Changes());
    }

    [Fact]
    public void A_label_change_moves_the_endpoint_between_sets()
    {
        _index.AddSet(Selected("app == 'web'"));
        _index.SetOwner("a", Pod("10.0.0.1", ("app", "web")));
        _index.TakeChanges();
        _index.SetOwner("a", Pod("10.0.0.1", ("app", "db")));

        Assert.Equal("-10.0.0.1/32", Changes());
    }

    [Fact]
    public void An_address_that_two_endpoints_share_stays_until_both_are_gone()
    {
        _index.AddSet(Selected("all()"));
        _index.SetOwner("a", Pod("10.0.0.1"));
        _index.SetOwner("b", Pod("10.0.0.1"));
        _index.TakeChanges();
        _index.RemoveOwner("a");
        var first = Changes();
        _index.RemoveOwner("b");

        Assert.Equal("", first);
        Assert.Equal("-10.0.0.1/32", Changes());
    }

    [Fact]
    public void A_change_and_its_opposite_cancel_out()
    {
        _index.AddSet(Selected("all()"));
        _index.SetOwner("a", Pod("10.0.0.1"));
        _index.RemoveOwner("a");

        Assert.Empty(_index.TakeChanges());
    }

    [Fact]
    public void Labels_of_profiles_are_inherited_before_and_after_the_endpoint()
    {
        _index.AddSet(Selected("pcns.env == 'prod'"));
        _index.SetOwner("a", Pod("10.0.0.1") with { Profiles = ["kns.x"] });
        _index.SetProfileLabels("kns.x", Labels(("pcns.env", "prod")));
        var after = Changes();
        _index.RemoveProfileLabels("kns.x");

        Assert.Equal("+10.0.0.1/32", after);
        Assert.Equal("-10.0.0.1/32", Changes());
    }

    [Fact]
    public void Own_labels_win_over_profiles_and_the_first_profile_wins_over_the_second()
    {
        _index.SetProfileLabels("p1", Labels(("a", "1"), ("b", "1")));
        _index.SetProfileLabels("p2", Labels(("b", "2"), ("c", "2")));
        _index.SetOwner("a", Pod("10.0.0.1", ("a", "own")) with { Profiles = ["p1", "p2"] });

        Assert.True(_index.Matches("a", Selector.Parse("a == 'own' && b == '1' && c == '2'")));
    }

    [Fact]
    public void A_named_port_set_has_address_protocol_and_port()
    {
        var set = new SetDefinition("n:x", SetKind.NamedPort) { Selector = "all()", PortName = "http", Protocol = IpProtocol.Tcp };
        _index.SetOwner("a", Pod("10.0.0.1") with
        {
            Ports = [new("http", IpProtocol.Tcp, 8080), new("http", IpProtocol.Udp, 8080), new("dns", IpProtocol.Tcp, 53)],
        });
        _index.AddSet(set);

        Assert.Equal("+10.0.0.1,tcp:8080", Changes());
    }

    [Fact]
    public void A_named_port_of_any_protocol_has_them_all()
    {
        _index.SetOwner("a", Pod("10.0.0.1") with { Ports = [new("p", IpProtocol.Tcp, 1), new("p", IpProtocol.Sctp, 2)] });
        _index.AddSet(new SetDefinition("n:x", SetKind.NamedPort) { Selector = "all()", PortName = "p" });

        Assert.Equal("+10.0.0.1,tcp:1 +10.0.0.1,sctp:2", Changes());
    }

    [Fact]
    public void A_changed_port_replaces_the_member()
    {
        _index.SetOwner("a", Pod("10.0.0.1") with { Ports = [new("p", IpProtocol.Tcp, 1)] });
        _index.AddSet(new SetDefinition("n:x", SetKind.NamedPort) { Selector = "all()", PortName = "p" });
        _index.TakeChanges();
        _index.SetOwner("a", Pod("10.0.0.1") with { Ports = [new("p", IpProtocol.Tcp, 2)] });

        Assert.Equal("+10.0.0.1,tcp:2 -10.0.0.1,tcp:1", Changes());
    }

    [Fact]
    public void A_network_set_for_everything_is_split_in_halves()
    {
        _index.AddSet(Selected("all()"));
        _index.SetOwner("n", new LabelOwner { Nets = [Cidr.Parse("0.0.0.0/0"), Cidr.Parse("::/0")] });

        Assert.Equal("+0.0.0.0/1 +128.0.0.0/1 +::/1 +8000::/1", Changes());
    }

    [Fact]
    public void Service_sets_follow_their_slices()
    {
        _index.AddSet(SetIds.ServiceSet("default/svc", SetKind.Service));
        _index.AddSet(SetIds.ServiceSet("default/svc", SetKind.ServiceAddresses));
        _index.SetService("s1", new ServiceEndpoints("default/svc", [IpAddr.Parse("10.0.0.2")], [(IpProtocol.Tcp, 80)]));
        _index.SetService("s2", new ServiceEndpoints("default/other", [IpAddr.Parse("10.0.0.9")], [(IpProtocol.Tcp, 80)]));
        var added = Changes();
        _index.SetService("s1", new ServiceEndpoints("default/svc", [IpAddr.Parse("10.0.0.3")], [(IpProtocol.Tcp, 80)]));

        Assert.Equal("+10.0.0.2,tcp:80 | +10.0.0.2/32", added);
        Assert.Equal("+10.0.0.3,tcp:80 -10.0.0.2,tcp:80 | +10.0.0.3/32 -10.0.0.2/32", Changes());
    }

    [Fact]
    public void A_set_is_forgotten_with_its_last_holder()
    {
        var set = Selected("all()");
        _index.AddSet(set);
        _index.AddSet(set);
        _index.RemoveSet(set.Id);
        var held = _index.HasSet(set.Id);
        _index.RemoveSet(set.Id);

        Assert.True(held);
        Assert.False(_index.HasSet(set.Id));
    }

    [Fact]
    public void An_endpoint_change_evaluates_only_selectors_that_can_match()
    {
        for (var i = 0; i < 1000; i++)
            _index.AddSet(Selected($"projectcalico.org/orchestrator == 'k8s' && app == 'app-{i}'"));
        var before = _index.Evaluations;
        _index.SetOwner("a", Pod("10.0.0.1", ("projectcalico.org/orchestrator", "k8s"), ("app", "app-7")));

        Assert.InRange(_index.Evaluations - before, 1, 2);
    }

    [Fact]
    public void A_new_selector_is_evaluated_only_against_endpoints_that_can_match()
    {
        for (var i = 0; i < 1000; i++)
            _index.SetOwner($"e{i}", Pod($"10.0.{i / 250}.{i % 250}", ("app", $"app-{i % 100}")) with { Profiles = [$"kns.{i % 10}"] });
        for (var i = 0; i < 10; i++)
            _index.SetProfileLabels($"kns.{i}", Labels(("pcns.name", $"{i}")));
        var before = _index.Evaluations;
        _index.AddSet(Selected("app == 'app-7' && pcns.name == '7'"));

        Assert.Equal(10, _index.Evaluations - before);
        Assert.Equal(10, _index.TakeChanges().Single().Added.Length);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Any_sequence_of_updates_ends_where_a_fresh_index_does(int seed)
    {
        var random = new Random(seed);
        var owners = new Dictionary<string, LabelOwner>();
        var profiles = new Dictionary<string, ImmutableArray<KeyValuePair<string, string>>>();
        var sets = new Dictionary<string, SetDefinition>();
        var followed = new Dictionary<string, SortedSet<SetMember>>();
        for (var step = 0; step < 400; step++)
        {
            Mutate(random, owners, profiles, sets, followed);
            if (random.Next(4) != 0)
                continue;
            foreach (var delta in _index.TakeChanges())
            {
                Assert.All(delta.Removed, m => Assert.True(followed[delta.SetId].Remove(m)));
                Assert.All(delta.Added, m => Assert.True(followed[delta.SetId].Add(m)));
            }
            var fresh = new EndpointIndex();
            foreach (var set in sets.Values.Reverse())
                fresh.AddSet(set);
            foreach (var (name, labels) in profiles)
                fresh.SetProfileLabels(name, labels);
            foreach (var (id, owner) in owners.OrderByDescending(o => o.Key))
                fresh.SetOwner(id, owner);
            foreach (var set in sets.Keys)
            {
                var expected = string.Join(' ', fresh.Members(set));
                Assert.Equal(expected, string.Join(' ', _index.Members(set)));
                Assert.Equal(expected, string.Join(' ', followed[set]));
            }
        }
    }

    private void Mutate(Random random, Dictionary<string, LabelOwner> owners,
        Dictionary<string, ImmutableArray<KeyValuePair<string, string>>> profiles,
        Dictionary<string, SetDefinition> sets, Dictionary<string, SortedSet<SetMember>> followed)
    {
        string[] selectors =
        [
            "all()", "has(a)", "!has(a)", "a == '1'", "a != '1'", "a in {'1', '2'}", "b == '2' && a == '1'", "a == '1' || c == '2'",
            "!(b == '1')", "has(a) && !has(b)", "a starts with '1'", "c not in {'0'} && has(b)", "a == '1' && a == '2'",
        ];
        switch (random.Next(6))
        {
            case 0 or 1 or 2:
                var id = $"e{random.Next(8)}";
                owners[id] = new LabelOwner
                {
                    Labels = RandomLabels(random),
                    Profiles = [.. Enumerable.Range(0, 3).Where(_ => random.Next(2) == 0).Select(p => $"p{p}")],
                    Nets = [.. Enumerable.Range(0, random.Next(3)).Select(_ =>
                        new Cidr(IpAddr.FromV4(0x0a000000u + (uint)random.Next(16)), random.Next(3) == 0 ? 30 : 32).Network)],
                    Ports = random.Next(2) == 0 ? [] : [new("p", IpProtocol.Tcp, (ushort)random.Next(1, 3))],
                };
                _index.SetOwner(id, owners[id]);
                break;
            case 3:
                var gone = $"e{random.Next(8)}";
                owners.Remove(gone);
                _index.RemoveOwner(gone);
                break;
            case 4:
                var profile = $"p{random.Next(3)}";
                if (random.Next(3) == 0)
                {
                    profiles.Remove(profile);
                    _index.RemoveProfileLabels(profile);
                    break;
                }
                profiles[profile] = RandomLabels(random);
                _index.SetProfileLabels(profile, profiles[profile]);
                break;
            default:
                var selector = Selector.Parse(selectors[random.Next(selectors.Length)]);
                var set = random.Next(3) == 0 ? SetIds.OfNamedPort(selector, 0, "p") : SetIds.OfSelector(selector);
                if (sets.Remove(set.Id))
                {
                    followed.Remove(set.Id);
                    _index.RemoveSet(set.Id);
                    break;
                }
                sets[set.Id] = set;
                followed[set.Id] = [];
                _index.AddSet(set);
                break;
        }
    }

    private static ImmutableArray<KeyValuePair<string, string>> RandomLabels(Random random) =>
        [.. new[] { "a", "b", "c" }.Where(_ => random.Next(2) == 0).Select(k => new KeyValuePair<string, string>(k, $"{random.Next(3)}"))];

    private static SetDefinition Selected(string selector) => SetIds.OfSelector(Selector.Parse(selector));

    private static LabelOwner Pod(string address, params (string, string)[] labels) =>
        new() { Labels = Labels(labels), Nets = [Cidr.Host(IpAddr.Parse(address))] };

    private static ImmutableArray<KeyValuePair<string, string>> Labels(params (string Key, string Value)[] labels) =>
        [.. labels.Select(l => new KeyValuePair<string, string>(l.Key, l.Value))];

    private string Changes() => string.Join(" | ", _index.TakeChanges()
        .Select(d => string.Join(' ', d.Added.Select(m => $"+{m}").Concat(d.Removed.Select(m => $"-{m}")))));
}
