using System.Collections.Immutable;
using Calico.Core.Feed;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Distribution;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;
using static Calico.Tests.Core.Policy.PolicyItems;

namespace Calico.Tests.Core.Policy.Distribution;

/// <summary>Entries are told apart by one byte; how they are written is another test's matter.</summary>
[Layer("unit")]
public class PolicyReceiverTests
{
    private const string Resource = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/p";
    private const string Allow = """{"action":"Allow"}""";
    private const string FromB = """{"action":"Allow","source":{"selector":"role == 'b'"}}""";

    private readonly NodePolicyGraph _graph = new();
    private readonly List<PolicyEntry?> _written = [];
    private readonly PolicyReceiver _receiver;

    public PolicyReceiverTests() =>
        _receiver = new PolicyReceiver(_graph, bytes => _written[bytes.Span[0]] ?? throw new FormatException("version 9"));

    private static PolicyEntry Entry(long revision, string rules = Allow, string? error = null) => new(Resource, revision,
        error is null ? Global("p", "all()", 1, ingress: rules) with { Revision = revision } : null, null, error);

    private FeedItem Item(PolicyEntry? entry, long revision)
    {
        _written.Add(entry);
        return new FeedItem(PolicyEntry.KeyOf(Resource), new[] { (byte)(_written.Count - 1) }, revision);
    }

    private void Publish(string member, PolicyEntry entry)
    {
        _receiver.Apply(member, [Item(entry, entry.Revision)]);
        _receiver.Settle();
    }

    private void PublishSet(string member, string setId, params string[] nets)
    {
        _receiver.Apply(member, new SetBuckets(setId).Reset([.. nets.Select(n => new SetMember(Cidr.Parse(n), 0, 0))], 1));
        _receiver.Settle();
    }

    private long? InForce => _graph.RevisionOf(Global("p", "all()").Key);

    private string Members(string setId) => _graph.Members(setId) is { } members ? string.Join(' ', members.Members.Select(m => m.Net).Order()) : "unknown";

    [Theory]
    [InlineData("one", "two")]
    [InlineData("two", "one")]
    public void The_newest_entry_counts_wherever_and_whenever_it_comes(string first, string second)
    {
        Publish(first, Entry(5));
        Publish(second, Entry(4));
        Assert.Equal(5, InForce);

        Publish(second, Entry(6));
        Assert.Equal(6, InForce);
    }

    [Fact]
    public void A_policy_stays_in_force_while_its_owner_moves_and_goes_with_its_resource()
    {
        _receiver.ResourceIs(Resource, 5);
        Publish("one", Entry(5));

        _receiver.Apply("one", [new FeedItem(PolicyEntry.KeyOf(Resource), null, 6)]);
        _receiver.MemberGone("one");
        _receiver.Settle();
        Assert.Equal(5, InForce);

        _receiver.ResourceIs(Resource, null);
        Assert.Null(InForce);
    }

    [Fact]
    public void The_node_is_in_sync_when_every_policy_has_come_at_its_current_revision()
    {
        _receiver.ResourceIs(Resource, 5);
        Publish("one", Entry(5));
        Assert.False(_receiver.InSync);

        _receiver.ResourcesInSync();
        Assert.True(_receiver.InSync);

        _receiver.ResourceIs(Resource, 7);
        Assert.Equal([new KeyValuePair<string, long>(Resource, 7)], _receiver.Missing);
        Publish("two", Entry(7));
        Assert.True(_receiver.InSync);
    }

    [Fact]
    public void An_entry_that_cannot_be_read_leaves_what_is_in_force_and_is_reported_until_one_can()
    {
        _receiver.ResourcesInSync();
        _receiver.ResourceIs(Resource, 5);
        Publish("one", Entry(5));
        _receiver.ResourceIs(Resource, 6);

        _receiver.Apply("one", [Item(null, 6)]);
        _receiver.Settle();

        Assert.Equal((5L, false), (InForce!.Value, _receiver.InSync));
        Assert.Contains("version 9", Assert.Single(_receiver.Errors).Error, StringComparison.Ordinal);

        Publish("two", Entry(6));
        Assert.Equal((6L, true), (InForce!.Value, _receiver.InSync));
        Assert.Empty(_receiver.Errors);
    }

    [Fact]
    public void A_set_that_cannot_be_read_does_not_stop_the_policy_beside_it()
    {
        var set = Entry(5, FromB).Policy!.Sets[0].Id;
        _receiver.Apply("one", [new FeedItem(SetBuckets.HeaderKey(set), "many"u8.ToArray(), 5), Item(Entry(5, FromB), 5)]);
        _receiver.Settle();

        Assert.Equal((5L, "unknown"), (InForce!.Value, Members(set)));
        Assert.Contains("many", Assert.Single(_receiver.Errors).Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_policy_that_became_wrong_is_in_force_no_more_and_the_reason_is_told()
    {
        Publish("one", Entry(5));
        Publish("one", Entry(6, error: "selector: 'a =='"));

        Assert.Null(InForce);
        Assert.Equal([(Resource, "selector: 'a =='")], _receiver.Errors);
    }

    [Fact]
    public void Members_of_a_set_come_from_the_one_that_compiled_the_policy_and_else_from_anybody_complete()
    {
        var set = Entry(5, FromB).Policy!.Sets[0].Id;
        _graph.UpdateEndpoint(Workload("web", "10.0.0.1").Endpoint);
        Publish("two", Entry(5, FromB));
        PublishSet("one", set, "10.0.0.9/32");
        Assert.Equal("10.0.0.9/32", Members(set));

        PublishSet("two", set, "10.0.0.7/32", "10.0.0.8/32");
        Assert.Equal("10.0.0.7/32 10.0.0.8/32", Members(set));

        // Half of a set is no set: the last whole one counts.
        _receiver.Apply("two", [new FeedItem(SetBuckets.HeaderKey(set), "2"u8.ToArray(), 9)]);
        _receiver.Settle();
        Assert.Equal("10.0.0.9/32", Members(set));
    }

    [Fact]
    public void A_set_that_disappears_with_its_member_keeps_its_last_members()
    {
        var set = Entry(5, FromB).Policy!.Sets[0].Id;
        _graph.UpdateEndpoint(Workload("web", "10.0.0.1").Endpoint);
        Publish("one", Entry(5, FromB));
        PublishSet("one", set, "10.0.0.9/32");

        _receiver.Apply("one", new SetBuckets(set).Clear(6));
        _receiver.MemberGone("one");
        _receiver.Settle();

        Assert.Equal("10.0.0.9/32", Members(set));
    }
}
