using Calico.Core.Net;
using Calico.Core.Policy.Index;

namespace Calico.Tests.Core.Policy.Index;

[Layer("unit")]
public class CountedMembersTests
{
    private readonly HashSet<SetMember> _published = [];
    private readonly CountedMembers _members;

    public CountedMembersTests() =>
        _members = new CountedMembers((m, added) => Assert.True(added ? _published.Add(m) : _published.Remove(m)));

    [Fact]
    public void A_member_goes_with_its_last_contributor()
    {
        Add("10.0.0.1/32");
        Add("10.0.0.1/32");
        Remove("10.0.0.1/32");

        Assert.Equal("10.0.0.1/32", Published);
    }

    [Fact]
    public void A_network_hides_what_it_covers_and_gives_it_back()
    {
        Add("10.65.1.5/32");
        Add("10.65.0.0/16");
        var hidden = Published;
        Remove("10.65.0.0/16");

        Assert.Equal("10.65.0.0/16", hidden);
        Assert.Equal("10.65.1.5/32", Published);
    }

    [Fact]
    public void A_newcomer_inside_a_network_stays_hidden()
    {
        Add("10.65.0.0/16");
        Add("10.65.1.0/24");
        Add("10.65.1.5/32");
        Remove("10.65.1.0/24");

        Assert.Equal("10.65.0.0/16", Published);
    }

    [Fact]
    public void Ports_are_not_covered_by_networks()
    {
        Add("10.0.0.0/8");
        Add("10.0.0.1,tcp:80");

        Assert.Equal("10.0.0.0/8 10.0.0.1,tcp:80", Published);
    }

    [Fact]
    public void Families_do_not_cover_each_other()
    {
        Add("0.0.0.0/1");
        Add("::1/128");

        Assert.Equal("0.0.0.0/1 ::1/128", Published);
    }

    [Fact]
    public void Removing_what_was_never_added_is_a_bug() =>
        Assert.Throws<InvalidOperationException>(() => Remove("10.0.0.1/32"));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Any_sequence_publishes_exactly_the_uncovered_members(int seed)
    {
        var random = new Random(seed);
        var bag = new List<SetMember>();
        for (var step = 0; step < 3000; step++)
        {
            if (bag.Count > 0 && random.Next(100) < 48)
            {
                var victim = bag[random.Next(bag.Count)];
                bag.Remove(victim);
                _members.Remove(victim);
            }
            else
            {
                // A small space, so that covering and repetition are common.
                var address = IpAddr.FromV4(0x0a000000u | (uint)random.Next(64) << 26 >> 26);
                var member = SetMember.Of(new Cidr(address, random.Next(26, 33)));
                bag.Add(member);
                _members.Add(member);
            }
            if (step % 50 == 0)
                Assert.Equal(Uncovered(bag), _published.Order());
        }
        Assert.Equal(Uncovered(bag), _published.Order());
        Assert.Equal(Uncovered(bag), _members.Published.Order());
    }

    private static IEnumerable<SetMember> Uncovered(List<SetMember> bag) => bag.Distinct()
        .Where(m => !bag.Any(o => o != m && o.Net.PrefixLength < m.Net.PrefixLength && o.Net.Contains(m.Net))).Order();

    private string Published => string.Join(' ', _published.Order());

    private void Add(string text) => _members.Add(Parse(text));

    private void Remove(string text) => _members.Remove(Parse(text));

    private static SetMember Parse(string text) =>
        SetMember.TryParse(text, out var m) ? m : throw new FormatException(text);
}
