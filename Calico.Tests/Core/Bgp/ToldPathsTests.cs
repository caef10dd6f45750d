using Calico.Core.Bgp.Rib;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class ToldPathsTests
{
    [Fact]
    public void It_behaves_as_a_set_of_pairs() =>
        Gen.Select(Gen.Bool, Gen.Int[0, 4], Gen.Int[0, 8]).Array[0, 200].Sample(operations =>
        {
            var told = new ToldPaths();
            var model = new HashSet<(int Prefix, int Path)>();
            foreach (var (add, prefix, path) in operations)
            {
                if (add)
                {
                    told.Add(prefix, path);
                    model.Add((prefix, path));
                }
                else
                {
                    told.Remove(prefix, path);
                    model.Remove((prefix, path));
                }
                Assert.Equal(model.Count, told.Count);
                Assert.Equal(model.Contains((prefix, 3)), told.Contains(prefix, 3));
            }
            var seen = new List<(int, int)>();
            foreach (var prefix in told.Prefixes)
            {
                var paths = new List<int>();
                told.AddTo(paths, prefix);
                Assert.NotEmpty(paths);
                seen.AddRange(paths.Select(p => (prefix, p)));
            }
            Assert.Equal(model.Order(), seen.Order());
        }, iter: 1000);
}
