using Calico.Actors.Routing;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Routing;

[Layer("unit")]
public sealed class BlockOwnersTests
{
    private static readonly Cidr Block = Cidr.Parse("10.1.0.0/26");

    private readonly BlockOwners _owners = new();

    [Fact]
    public void Nobody_is_a_former_holder_before_a_release_was_seen()
    {
        Assert.False(_owners.IsFormer("a", Block));
        Assert.False(_owners.Learn("b", Block, exists: true));
        Assert.False(_owners.IsFormer("a", Block));
        Assert.False(_owners.IsFormer(null, Block));
    }

    [Fact]
    public void Who_released_a_block_is_a_former_holder_until_it_holds_it_again()
    {
        _owners.Learn("a", Block, exists: true);

        Assert.True(_owners.Learn("a", Block, exists: false));
        Assert.True(_owners.IsFormer("a", Block));
        Assert.False(_owners.Learn("a", Block, exists: false));

        Assert.True(_owners.Learn("a", Block, exists: true));
        Assert.False(_owners.IsFormer("a", Block));
    }

    [Fact]
    public void A_release_counts_for_one_holder_and_one_block()
    {
        _owners.Learn("a", Block, exists: false);

        Assert.False(_owners.IsFormer("b", Block));
        Assert.False(_owners.IsFormer("a", Cidr.Parse("10.1.0.64/26")));
    }
}
