namespace Calico.Core.Bgp.Rib;

/// <summary>
/// An array that grows without being copied: its elements stay where they are, page by page, so that a table of a million routes
/// leaves no predecessors of half its size to the collector. Only the first page, while it is smaller than the others, is moved.
/// </summary>
internal sealed class PagedArray<T>
    where T : struct
{
    private const int Shift = 13;
    private const int PageLength = 1 << Shift;
    private const int FirstLength = 64;

    private T[][] _pages = [new T[FirstLength]];

    /// <summary>All indexes are below this.</summary>
    public int Length { get; private set; } = FirstLength;

    public ref T this[int index] => ref _pages[index >> Shift][index & (PageLength - 1)];

    /// <summary>Makes room for the next index. A reference into the first page is of no use afterwards.</summary>
    public void Grow()
    {
        if (Length < PageLength)
        {
            Array.Resize(ref _pages[0], Length * 2);
            Length *= 2;
            return;
        }
        _pages = [.. _pages, new T[PageLength]];
        Length += PageLength;
    }
}
