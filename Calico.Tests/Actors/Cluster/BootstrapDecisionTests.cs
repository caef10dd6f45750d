using Calico.Actors.Cluster;

namespace Calico.Tests.Actors.Cluster;

[Layer("unit")]
public sealed class BootstrapDecisionTests
{
    private static readonly TimeSpan StaleAfter = TimeSpan.FromSeconds(10);

    private readonly BootstrapDecision _decision = new("a", StaleAfter);

    [Fact]
    public void Without_a_record_the_node_forms_a_cluster()
    {
        var form = Assert.IsType<BootstrapStep.Form>(Next(null, 0, 0));

        Assert.Equal(["a"], form.Seeds.AsEnumerable());
        Assert.Equal(["a"], form.Record.Members.AsEnumerable());
    }

    [Fact]
    public void A_record_that_names_others_is_joined_without_this_node_as_a_seed()
    {
        var join = Assert.IsType<BootstrapStep.Join>(Next(Record("old", "a", "b", "c"), 7, 0));

        Assert.Equal(["b", "c"], join.Seeds.AsEnumerable());
        Assert.Equal("old", join.ClusterId);
    }

    [Fact]
    public void A_record_that_names_only_this_node_is_from_its_earlier_life()
    {
        var form = Assert.IsType<BootstrapStep.Form>(Next(Record("old", "a"), 7, 0));

        Assert.Equal("new", form.Record.ClusterId);
    }

    [Fact]
    public void A_record_that_stood_still_for_long_enough_is_taken_over_and_its_members_are_tried_first()
    {
        var record = Record("old", "a", "b");

        Assert.IsType<BootstrapStep.Join>(Next(record, 7, 0));
        Assert.IsType<BootstrapStep.Join>(Next(record, 7, 9.9));
        var form = Assert.IsType<BootstrapStep.Form>(Next(record, 7, 10));

        Assert.Equal(["a", "b"], form.Seeds.AsEnumerable());
        Assert.Equal(record.Renewal + 1, form.Record.Renewal);
    }

    [Fact]
    public void A_renewal_begins_the_wait_again()
    {
        Assert.IsType<BootstrapStep.Join>(Next(Record("old", "b"), 7, 0));
        Assert.IsType<BootstrapStep.Join>(Next(Record("old", "b"), 8, 9));
        Assert.IsType<BootstrapStep.Join>(Next(Record("old", "b"), 8, 18));
        Assert.IsType<BootstrapStep.Form>(Next(Record("old", "b"), 8, 19));
    }

    [Theory]
    [InlineData(1, "a", 2, "b", true)]
    [InlineData(2, "b", 1, "a", false)]
    [InlineData(3, "b", 1, "a", false)]
    [InlineData(2, "b", 2, "a", true)]
    [InlineData(2, "a", 2, "b", false)]
    [InlineData(2, "a", 2, "a", true)]
    [InlineData(1, "a", 2, "a", true)]
    public void Of_two_clusters_the_smaller_yields_and_of_equals_the_one_with_the_greater_id(
        int ownMembers, string ownId, int otherMembers, string otherId, bool yields)
    {
        string[] others = [.. Enumerable.Range(0, otherMembers).Select(i => $"x{i}")];
        string[] own = [.. Enumerable.Range(0, ownMembers).Select(i => $"y{i}")];

        Assert.Equal(yields, BootstrapDecision.Yields([.. own], ownId, Record(otherId, others)));
        Assert.NotEqual(yields, BootstrapDecision.Yields([.. others], otherId, Record(ownId, own)));
    }

    private BootstrapStep Next(BootstrapRecord? record, long revision, double seconds) =>
        _decision.Next(record, revision, TimeSpan.FromSeconds(seconds), "new");

    private static BootstrapRecord Record(string id, params string[] members) => new(id, 5, [.. members]);
}
