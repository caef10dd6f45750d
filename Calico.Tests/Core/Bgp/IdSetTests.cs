using Calico.Core.Bgp.Rib;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class IdSetTests
{
    [Fact]
    public void It_behaves_as_a_sorted_set_of_numbers() =>
        Gen.Select(Gen.Bool, Gen.Int[0, 20_000]).Array[0, 200].Sample(operations =>
        {
            var set = new IdSet();
            var model = new SortedSet<int>();
            foreach (var (add, id) in operations)
            {
                Assert.Equal(add ? model.Add(id) : model.Remove(id), add ? set.Add(id) : set.Remove(id));
                Assert.Equal(model.Count, set.Count);
                Assert.Equal(model.Contains(id), set.Contains(id));
            }
            var seen = new List<int>();
            for (var id = set.Next(0); id >= 0; id = set.Next(id + 1))
                seen.Add(id);
            Assert.Equal(model, seen);
        }, iter: 2000);
}
