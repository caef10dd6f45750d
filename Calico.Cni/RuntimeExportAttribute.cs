namespace System.Runtime;

/// <summary>
/// The compiler knows it by its name: the method goes into the program under the given symbol, without the prologue by
/// which code from outside enters the runtime. Such a method may be called before there is a runtime.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class RuntimeExportAttribute(string symbol) : Attribute
{
    public string Symbol => symbol;
}
