using Calico.Actors.Routing;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Routing;

[Layer("unit")]
public sealed class NodePresenceTests
{
    private static readonly Cidr One = Cidr.Parse("10.1.0.0/26");
    private static readonly Cidr Two = Cidr.Parse("10.1.0.64/26");

    private readonly NodePresence _presence = new();

    [Fact]
    public void A_node_is_gone_when_it_left_and_its_last_block_was_taken_whichever_comes_last()
    {
        _presence.Learn(["a", "b"]);
        _presence.Learn("a", One, holds: true);
        _presence.Learn("a", Two, holds: true);

        Assert.Empty(_presence.Learn(["b"]));
        Assert.False(_presence.Learn("a", One, holds: false));
        Assert.True(_presence.Learn("a", Two, holds: false));
        Assert.Equal(["b"], _presence.Learn([]));
    }

    [Fact]
    public void Whoever_is_a_member_holds_a_block_or_never_was_one_is_not_gone()
    {
        _presence.Learn(["a"]);
        _presence.Learn("a", One, holds: true);
        Assert.False(_presence.Learn("a", One, holds: false));
        Assert.False(_presence.Learn("a", One, holds: false));

        _presence.Learn("other", Two, holds: true);
        Assert.Empty(_presence.Learn(["a"]));
        Assert.False(_presence.Learn("other", Two, holds: false));
    }

    [Fact]
    public void Who_came_back_is_gone_again_only_after_it_left_again()
    {
        _presence.Learn(["a"]);
        _presence.Learn("a", One, holds: true);
        _presence.Learn([]);
        _presence.Learn(["a"]);

        Assert.False(_presence.Learn("a", One, holds: false));
        Assert.Equal(["a"], _presence.Learn([]));
        Assert.Empty(_presence.Learn([]));
    }
}
